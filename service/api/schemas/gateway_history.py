"""The history of a gateway in responses: events and availability."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BeforeValidator, Field

from service.api.schemas.base import QueryModel, ResponseModel, action_of
from service.api.schemas.pagination import DEFAULT_LIMIT, CursorText, Limit, WholeNumber
from service.api.validation.times import Time
from service.database.rows import GatewayEvent
from service.database.views.availability import Availability, Link
from service.database.views.availability_buckets import Bucket

MAX_BUCKETS = 200
BucketCount = Annotated[int, Field(ge=1, le=MAX_BUCKETS), BeforeValidator(WholeNumber(1, MAX_BUCKETS))]


class EventListQuery(QueryModel):
    """Which events: the newest, or those after a cursor."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorText | None = None


class AvailabilityQuery(QueryModel):
    """Which time range: the last day by default."""

    start: Time | None = Field(default=None, alias="from")
    end: Time | None = Field(default=None, alias="to")
    buckets: BucketCount | None = None


class EventReason(ResponseModel):
    """Why a gateway changed its state. `code` is stable; `message` and `action` are for people."""

    code: str
    message: str | None
    phase: str | None
    action: str = Field(default_factory=action_of)


class EventResponse(ResponseModel):
    """A transition of a gateway from one state to another."""

    id: int
    at: datetime
    from_state: str
    to_state: str
    reason: EventReason | None
    attempt: int
    generation: int | None
    worker_id: UUID | None

    @classmethod
    def of(cls, row: GatewayEvent) -> Self:
        """From its row."""
        reason = (
            None
            if row.reason_code is None
            else EventReason(code=row.reason_code, message=row.reason_message, phase=row.reason_phase)
        )
        return cls(
            id=row.id,
            at=row.at,
            from_state=row.from_state,
            to_state=row.to_state,
            reason=reason,
            attempt=row.attempt,
            generation=row.generation,
            worker_id=row.worker_id,
        )


class EventPagination(ResponseModel):
    """Where a page of transitions is: they are not counted."""

    limit: int
    has_next: bool
    next_cursor: str | None


class EventPage(ResponseModel):
    """A page of transitions, newest first."""

    data: list[EventResponse]
    pagination: EventPagination


class Outages(ResponseModel):
    """Stretches of wanted time in which a gateway was known not to be connected."""

    count: int
    seconds: float
    longest_seconds: float


class BucketResponse(ResponseModel):
    """One of several stretches of the same length. Its five numbers add up to that length.

    `unrecorded_seconds` are before `known_from`, and in none of the sums.
    """

    start: datetime = Field(serialization_alias="from")
    connected_seconds: float
    down_seconds: float
    unknown_seconds: float
    unwanted_seconds: float
    unrecorded_seconds: float

    @classmethod
    def of(cls, bucket: Bucket) -> Self:
        """From what was measured."""
        return cls(
            start=bucket.begin,
            connected_seconds=bucket.wanted[Link.UP].total_seconds(),
            down_seconds=bucket.wanted[Link.DOWN].total_seconds(),
            unknown_seconds=bucket.wanted[Link.UNKNOWN].total_seconds(),
            unwanted_seconds=bucket.unwanted.total_seconds(),
            unrecorded_seconds=bucket.unrecorded.total_seconds(),
        )


class AvailabilityResponse(ResponseModel):
    """How available a gateway was from `from` to `to`. What was before `known_from` is not known.

    `wanted_seconds` is the sum of the three behind it; `availability` is connected ÷ wanted, null if it was
    never wanted.
    """

    id: UUID
    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to")
    known_from: datetime
    wanted_seconds: float
    connected_seconds: float
    down_seconds: float
    unknown_seconds: float
    availability: float | None
    outages: Outages
    as_of: datetime
    buckets: Annotated[
        list[BucketResponse] | None,
        Field(
            exclude_if=lambda buckets: buckets is None,
            description="Present only if the query asks for `buckets`; oldest first.",
        ),
    ] = None

    @classmethod
    def of(
        cls, gateway_id: UUID, start: datetime, end: datetime, as_of: datetime, measured: Availability
    ) -> Self:
        """From what was measured."""
        lengths = [length.total_seconds() for length in measured.outages]
        return cls(
            id=gateway_id,
            start=start,
            end=end,
            known_from=measured.known_from,
            wanted_seconds=measured.wanted.total_seconds(),
            connected_seconds=measured.connected.total_seconds(),
            down_seconds=measured.down.total_seconds(),
            unknown_seconds=measured.unknown.total_seconds(),
            availability=measured.connected / measured.wanted if measured.wanted else None,
            outages=Outages(
                count=len(lengths),
                seconds=measured.down.total_seconds(),
                longest_seconds=max(lengths, default=0.0),
            ),
            as_of=as_of,
        )
