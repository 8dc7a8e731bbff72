"""Transitions of all gateways in the order of the transactions that wrote them: none missed, none twice.

What runs is not read yet, nor what began after it: a transition shows when every transaction that began
before its own has ended. A place in the stream is always that of a transition, which a crash of the server
does not take back; the number of a transaction that wrote nothing it may give out again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.database.engine.query import Executor, Query, required
from service.database.rows import GatewayEvent
from service.errors import EventCursorExpiredError

WINDOW_ROWS = 5000


@dataclass(frozen=True, slots=True, order=True)
class StreamPosition:
    """The place of a transition, among those of one stream."""

    modified_xid: int
    id: int


BEGINNING = StreamPosition(0, 0)


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """A place, and the stream that it is in."""

    stream: str
    position: StreamPosition


@dataclass(frozen=True, slots=True)
class StreamWindow:
    """Where the transitions behind a place end, or as many of them as are read at once."""

    modified_xid: int
    id: int
    size: int


@dataclass(frozen=True, slots=True)
class StreamedEvent(GatewayEvent):
    """A transition, and whose it is."""

    factory_id: UUID
    device_id: str
    name: str
    modified_xid: int


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """The stream, and the last place in it from which something is gone."""

    stream: str
    pruned_by: int
    pruned_id: int


@dataclass(frozen=True, slots=True)
class StreamPart:
    """Transitions, in their order, and how far they were read; there is more if it did not end there."""

    events: Sequence[StreamedEvent]
    end: StreamPosition
    has_more: bool


FIND_WINDOW = Query(
    """
    WITH behind AS (
        SELECT modified_xid, id
        FROM gateway_events
        WHERE (modified_xid, id) > (%(modified_xid)s::xid8, %(id)s::bigint)
            AND modified_xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY modified_xid, id
        LIMIT %(limit)s
    )
    SELECT modified_xid::text::bigint AS modified_xid, id, (SELECT count(*) FROM behind) AS size
    FROM behind
    ORDER BY behind.modified_xid DESC, id DESC
    LIMIT 1
    """,
    StreamWindow,
    retryable=True,
)

# An old transition names no factory: for such alone, and before the join, that of its gateway is looked up.
FIND_BETWEEN = Query(
    """
    SELECT
        e.id, e.gateway_id, e.at, e.from_state, e.to_state, e.reason_code, e.reason_message, e.reason_phase,
        e.attempt, e.generation, e.worker_id, e.epoch, coalesce(e.factory_id, g.factory_id) AS factory_id,
        g.device_id, g.name, e.modified_xid::text::bigint AS modified_xid
    FROM gateway_events AS e
    JOIN gateways AS g ON e.gateway_id = g.id
    WHERE (e.modified_xid, e.id) > (%(modified_xid)s::xid8, %(id)s::bigint)
        AND (e.modified_xid, e.id) <= (%(last_modified_xid)s::xid8, %(last_id)s::bigint)
        AND (
            %(factory_id)s::uuid IS NULL
            OR coalesce(e.factory_id, (SELECT o.factory_id FROM gateways AS o WHERE o.id = e.gateway_id))
            = %(factory_id)s::uuid
        )
    ORDER BY e.modified_xid, e.id
    LIMIT %(limit)s
    """,
    StreamedEvent,
    retryable=True,
    custom_plan=True,
)

# Of a transition that is there, or was.
FIND_NEWEST = Query(
    """
    SELECT newest.modified_xid::text::bigint AS modified_xid, newest.id
    FROM (
        (
            SELECT modified_xid, id
            FROM gateway_events
            WHERE modified_xid < pg_snapshot_xmin(pg_current_snapshot())
            ORDER BY modified_xid DESC, id DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT events_pruned_by, events_pruned_id
            FROM event_pruning
            WHERE events_pruned_in = event_stream_id()
                AND events_pruned_by < pg_snapshot_xmin(pg_current_snapshot())
        )
    ) AS newest
    ORDER BY newest.modified_xid DESC, newest.id DESC
    LIMIT 1
    """,
    StreamPosition,
    retryable=True,
)

FIND_BOUNDS = Query(
    """
    SELECT
        event_stream_id() AS stream,
        CASE WHEN is_of_it THEN events_pruned_by::text::bigint ELSE 0 END AS pruned_by,
        CASE WHEN is_of_it THEN events_pruned_id ELSE 0 END AS pruned_id
    FROM event_pruning
    CROSS JOIN LATERAL (SELECT coalesce(events_pruned_in = event_stream_id(), FALSE) AS is_of_it)
    """,
    StreamBounds,
    retryable=True,
)


class EventStreamRepository:
    """Runs on the database, never in a transaction: each statement sees what was committed before it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def find_newest(self) -> StreamPosition:
        """The last place that can be read."""
        return self._executor.fetch_one(FIND_NEWEST, {}) or BEGINNING

    def find_stream(self) -> str:
        """Names the stream that is written now."""
        return self._find_bounds().stream

    def read(self, after: StreamPlace, factory_id: UUID | None, limit: int) -> StreamPart:
        """At most `limit` transitions behind a place, of one factory or of all.

        Of many that are others' only some are passed over at once. Raises EventCursorExpiredError if what was
        behind the place is not all there any more, or the place is of another stream.
        """
        part = self._read(after.position, factory_id, limit)
        # Behind the reading: what was pruned before it shows.
        bounds = self._find_bounds()
        if bounds.stream != after.stream:
            raise EventCursorExpiredError
        if StreamPosition(bounds.pruned_by, bounds.pruned_id) > after.position:
            raise EventCursorExpiredError
        return part

    def _read(self, after: StreamPosition, factory_id: UUID | None, limit: int) -> StreamPart:
        begin = {"modified_xid": str(after.modified_xid), "id": after.id}
        window = self._executor.fetch_one(FIND_WINDOW, {**begin, "limit": WINDOW_ROWS})
        if window is None:
            return StreamPart([], after, has_more=False)
        last = {"last_modified_xid": str(window.modified_xid), "last_id": window.id}
        events = self._executor.fetch_all(
            FIND_BETWEEN, {**begin, **last, "factory_id": factory_id, "limit": limit + 1}
        )
        if len(events) > limit:
            last_event = events[limit - 1]
            end = StreamPosition(last_event.modified_xid, last_event.id)
            return StreamPart(events[:limit], end, has_more=True)
        end = StreamPosition(window.modified_xid, window.id)
        return StreamPart(events, end, has_more=window.size == WINDOW_ROWS)

    def _find_bounds(self) -> StreamBounds:
        return required(self._executor.fetch_one(FIND_BOUNDS, {}))
