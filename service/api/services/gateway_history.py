"""The past of a gateway: its transitions, and how available it was."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from service.api.schemas.cursors import Cursor, encode_cursor, not_of_this_list, scope_of
from service.api.schemas.gateway_history import (
    AvailabilityQuery,
    AvailabilityResponse,
    BucketResponse,
    EventListQuery,
    EventPage,
    EventPagination,
    EventResponse,
)
from service.api.web.validation_errors import detail, invalid
from service.database.desired.gateways import GatewayRepository
from service.database.engine.query import Executor
from service.database.views.availability import measure
from service.database.views.availability_buckets import divide
from service.database.views.history import HistoryRepository

MAX_RANGE = timedelta(days=366)
MAX_STEPS = 100_000
_DEFAULT_RANGE = timedelta(days=1)
Item = TypeVar("Item")
_EVENT_ID = re.compile(r"[1-9][0-9]{0,17}")


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


def find_events(database: Executor, gateway_id: UUID, query: EventListQuery) -> EventPage:
    """A page, newest first. Raises GatewayNotFoundError, InvalidRequestError."""
    scope = scope_of("events", {"gateway_id": gateway_id})
    before_id = None if query.cursor is None else event_id_in(query.cursor, scope)
    GatewayRepository(database).find_by_id(gateway_id)
    found = HistoryRepository(database).find_events(gateway_id, before_id, query.limit + 1)
    rows, has_next = found[: query.limit], len(found) > query.limit
    behind = encode_cursor(Cursor(scope, gateway_id, str(rows[-1].id))) if has_next else None
    pagination = EventPagination(limit=query.limit, has_next=has_next, next_cursor=behind)
    return EventPage(data=[EventResponse.of(row) for row in rows], pagination=pagination)


def find_availability(database: Executor, gateway_id: UUID, query: AvailabilityQuery) -> AvailabilityResponse:
    """How much of the wanted time it was connected. Raises GatewayNotFoundError, InvalidRequestError."""
    history = HistoryRepository(database)
    present = history.find_present(gateway_id)
    asked = Range(query, present.as_of)
    steps = _no_more(history.find_steps(gateway_id, asked.start, asked.end))
    wishes = history.find_desired_state_changes(gateway_id, asked.start, asked.end, MAX_STEPS)
    availability = measure(present, steps, _no_more(wishes), asked.start, asked.end)
    response = AvailabilityResponse.of(gateway_id, asked.start, asked.end, present.as_of, availability)
    if query.buckets is None:
        return response
    buckets = divide(availability, asked.start, asked.end, query.buckets)
    return response.model_copy(update={"buckets": [BucketResponse.of(bucket) for bucket in buckets]})


def _no_more(found: Iterable[Item]) -> Iterator[Item]:
    """Raises InvalidRequestError where there are more than can be added up."""
    for number, item in enumerate(found):
        if number >= MAX_STEPS:
            raise invalid([detail("from", "has too many events since: ask for a shorter range", "range")])
        yield item


def event_id_in(cursor: Cursor, scope: bytes) -> int:
    """The transition that a cursor names. Raises InvalidRequestError."""
    if cursor.scope != scope or not _EVENT_ID.fullmatch(cursor.key):
        refusal = not_of_this_list()
        raise invalid([detail("cursor", refusal.message(), refusal.type)])
    return int(cursor.key)
