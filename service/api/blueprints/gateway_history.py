"""The past of a gateway over HTTP: its transitions, and how available it was."""

import re
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BeforeValidator, Field

from service.api.openapi.operation import Operation
from service.api.schemas.base import QueryModel
from service.api.schemas.cursors import Cursor, encode_cursor, not_of_this_list, scope_of
from service.api.schemas.gateway_history import (
    AvailabilityResponse,
    BucketResponse,
    EventPage,
    EventPagination,
    EventResponse,
)
from service.api.schemas.pagination import DEFAULT_LIMIT, CursorText, Limit, WholeNumber
from service.api.services.context import services
from service.api.validation.times import Time
from service.api.web.etags import conditional_response
from service.api.web.responses import respond
from service.api.web.validation_errors import detail, invalid
from service.database.desired.gateways import GatewayRepository
from service.database.views.availability import measure
from service.database.views.availability_buckets import divide
from service.database.views.history import HistoryRepository
from service.errors import GatewayNotFoundError

blueprint = Blueprint("history", __name__, url_prefix="/api/gateways/<gateway_id>")

MAX_RANGE = timedelta(days=366)
MAX_STEPS = 100_000
MAX_BUCKETS = 200
_DEFAULT_RANGE = timedelta(days=1)
_EVENT_ID = re.compile(r"[1-9][0-9]{0,17}")


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


class Range:
    """The time that is asked for, as far as it is past."""

    def __init__(self, query: AvailabilityQuery, now: datetime) -> None:
        """Raises InvalidRequestError."""
        self.end = min(query.end or now, now)
        self.start = query.start or self.end - _DEFAULT_RANGE
        if self.start >= self.end:
            raise invalid([detail("from", "must be before to, and before now", "range")])
        if self.end - self.start > MAX_RANGE:
            raise invalid([detail("from", f"must be at most {MAX_RANGE.days} days before to", "range")])


@blueprint.get("/events")
@Operation(
    "list_gateway_events",
    "List the events of a gateway, newest first",
    {200: EventPage},
    error_responses=(GatewayNotFoundError,),
    query=EventListQuery,
    condition="read",
)
def find_events(gateway_id: UUID, query: EventListQuery) -> Response:
    """Its transitions, newest first."""
    scope = scope_of("events", {"gateway_id": gateway_id})
    before_id = None if query.cursor is None else event_id_in(query.cursor, scope)
    database = services().database
    GatewayRepository(database).find_by_id(gateway_id)
    found = HistoryRepository(database).find_events(gateway_id, before_id, query.limit + 1)
    rows, has_next = found[: query.limit], len(found) > query.limit
    behind = encode_cursor(Cursor(scope, gateway_id, str(rows[-1].id))) if has_next else None
    pagination = EventPagination(limit=query.limit, has_next=has_next, next_cursor=behind)
    page = EventPage(data=[EventResponse.of(row) for row in rows], pagination=pagination)
    return conditional_response(respond(page))


@blueprint.get("/availability")
@Operation(
    "get_availability",
    "Get the share of wanted time that a gateway was connected, and its outages",
    {200: AvailabilityResponse},
    error_responses=(GatewayNotFoundError,),
    query=AvailabilityQuery,
    description="With `buckets`, also how the time is spread over so many stretches of the same length.",
)
def find_availability(gateway_id: UUID, query: AvailabilityQuery) -> Response:
    """How much of the wanted time it was connected, from its history."""
    history = HistoryRepository(services().database)
    present = history.find_present(gateway_id)
    asked = Range(query, present.as_of)
    steps = history.find_steps(gateway_id, asked.start, asked.end, MAX_STEPS)
    wishes = history.find_desired_state_changes(gateway_id, asked.start, asked.end, MAX_STEPS)
    if max(len(steps), len(wishes)) >= MAX_STEPS:
        raise invalid([detail("from", "has too many events since: ask for a shorter range", "range")])
    availability = measure(present, steps, wishes, asked.start, asked.end)
    response = AvailabilityResponse.of(gateway_id, asked.start, asked.end, present.as_of, availability)
    if query.buckets is not None:
        buckets = divide(availability, asked.start, asked.end, query.buckets)
        response = response.model_copy(update={"buckets": [BucketResponse.of(bucket) for bucket in buckets]})
    return respond(response)


def event_id_in(cursor: Cursor, scope: bytes) -> int:
    """The transition that a cursor names. Raises InvalidRequestError."""
    if cursor.scope != scope or not _EVENT_ID.fullmatch(cursor.key):
        refusal = not_of_this_list()
        raise invalid([detail("cursor", refusal.message(), refusal.type)])
    return int(cursor.key)
