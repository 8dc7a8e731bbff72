"""The stream of events: its query and its responses."""

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, PlainValidator

from service.api.schemas.base import QueryModel, ResponseModel
from service.api.schemas.cursors import EventCursor, decode_event_cursor
from service.api.schemas.gateway_history import EventResponse
from service.api.schemas.pagination import MAX_LIMIT, Limit, WholeNumber
from service.database.views.event_stream import (
    StreamedEvent,
)

MAX_WAIT_S = 30


Wait = Annotated[int, Field(ge=0, le=MAX_WAIT_S), BeforeValidator(WholeNumber(0, MAX_WAIT_S))]


AfterText = Annotated[EventCursor, PlainValidator(decode_event_cursor, json_schema_input_type=str)]


class EventStreamQuery(QueryModel):
    """Which transitions: those behind a cursor, of one factory or of all; and how long to wait for one."""

    after: AfterText | None = None
    wait: Wait = 0
    limit: Limit = MAX_LIMIT
    factory_id: UUID | None = None


class EventGateway(ResponseModel):
    """The gateway of a transition as it is now, but for `factory_id`: where the transition happened."""

    id: UUID
    factory_id: UUID
    gateway_id: str
    name: str


class StreamedEventResponse(EventResponse):
    """A transition of a gateway from one state to another."""

    gateway: EventGateway

    @classmethod
    def of_stream(cls, row: StreamedEvent) -> Self:
        """From its row."""
        gateway = EventGateway(
            id=row.gateway_id, factory_id=row.factory_id, gateway_id=row.device_id, name=row.name
        )
        return cls.model_validate({**EventResponse.of(row).model_dump(), "gateway": gateway})


class EventStreamResponse(ResponseModel):
    """Transitions, oldest first. Ask again with the cursor; at once, if there is more."""

    data: Sequence[StreamedEventResponse]
    cursor: str
    has_more: bool
