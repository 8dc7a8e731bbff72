"""The stream of events: its query and its responses."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, PlainValidator

from service import __version__
from service.api.schemas.base import QueryModel, ResponseModel
from service.api.schemas.cursors import EventCursor, decode_event_cursor
from service.api.schemas.gateway_history import EventResponse
from service.api.schemas.pagination import MAX_LIMIT, Limit, WholeNumber
from service.database.views.event_stream import StreamedEvent
from service.database.views.heartbeats import Heartbeat

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


class HeartbeatMessage(ResponseModel):
    """Nothing was missed up to `as_of`, on the database's clock; who is asked, and how many workers are live.

    `is_held_up`: a transaction that still runs keeps later transitions from being told; read states anew.
    """

    as_of: datetime
    version: str = __version__
    live_workers: int
    is_held_up: bool

    @classmethod
    def of(cls, row: Heartbeat) -> Self:
        """From its row."""
        return cls(as_of=row.as_of, live_workers=row.live_workers, is_held_up=row.is_held_up)


class UnavailableMessage(ResponseModel):
    """The database does not answer. What was told is not known to be true after `since`."""

    since: datetime


class ResetMessage(ResponseModel):
    """Transitions after the cursor were deleted: read states anew. The stream goes on from now."""

    code: Literal["CURSOR_EXPIRED"] = "CURSOR_EXPIRED"


class UnauthorizedMessage(ResponseModel):
    """The token was revoked. The stream ends."""

    code: Literal["UNAUTHORIZED"] = "UNAUTHORIZED"
