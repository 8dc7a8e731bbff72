"""What a client that follows transitions is told again and again: that nothing was missed, and as of when."""

from dataclasses import dataclass
from datetime import datetime

from service.database.engine.query import Executor, Query, required
from service.database.views.event_stream import StreamPosition


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The database's time, how many workers are live, and the newest transition that can be read."""

    as_of: datetime
    live_workers: int
    is_held_up: bool
    """Whether there are later transitions, which a transaction that still runs keeps from being read."""
    modified_xid: int
    id: int

    @property
    def newest(self) -> StreamPosition:
        """Who has read up to here has missed nothing, but for what is held up."""
        return StreamPosition(self.modified_xid, self.id)


# The newest as in event_stream.FIND_NEWEST; the time is not later than what is read after it.
FIND_HEARTBEAT = Query(
    """
    WITH now AS MATERIALIZED (SELECT clock_timestamp() AS as_of),
    newest AS (
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
        UNION ALL
        (SELECT '0'::xid8, 0)
        ORDER BY modified_xid DESC, id DESC
        LIMIT 1
    )
    SELECT
        now.as_of,
        (SELECT count(*) FROM workers AS w WHERE w.ended_at IS NULL AND worker_is_live(w)) AS live_workers,
        EXISTS (
            SELECT FROM gateway_events WHERE modified_xid >= pg_snapshot_xmin(pg_current_snapshot())
        ) AS is_held_up,
        newest.modified_xid::text::bigint AS modified_xid,
        newest.id
    FROM now CROSS JOIN newest
    """,
    Heartbeat,
    retryable=True,
)


def find_heartbeat(executor: Executor) -> Heartbeat:
    """As of now. Raises DatabaseError."""
    return required(executor.fetch_one(FIND_HEARTBEAT, {}))
