"""The past of a gateway: its transitions, and what they and its wishes say about a stretch of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.database.engine.query import Executor, Query
from service.database.rows import GatewayEvent
from service.errors import GatewayNotFoundError

STEPS_A_PAGE = 1000

FIND_EVENTS = Query(
    """
    SELECT
        id, gateway_id, at, from_state, to_state, reason_code, reason_message, reason_phase,
        attempt, generation, worker_id, epoch, factory_id
    FROM gateway_events
    WHERE gateway_id = %(gateway_id)s AND (%(before_id)s::bigint IS NULL OR id < %(before_id)s::bigint)
    ORDER BY id DESC
    LIMIT %(limit)s
    """,
    GatewayEvent,
    retryable=True,
    custom_plan=True,
)


@dataclass(frozen=True, slots=True)
class PresentState:
    """Where a gateway's history leads to, and how far back it goes."""

    created_at: datetime
    stored_state: str
    unknown_since: datetime | None
    """Since when its worker is not heard of, if that is so now: no transition says it yet."""
    events_pruned_until: datetime
    changes_since: datetime | None
    as_of: datetime


FIND_PRESENT = Query(
    """
    SELECT
        g.created_at,
        coalesce(c.state, 'disconnected') AS stored_state,
        CASE WHEN NOT worker_is_live(w) THEN greatest(w.heartbeat_at, c.state_since) END AS unknown_since,
        b.events_pruned_until,
        (SELECT at FROM desired_state_changes WHERE gateway_id = g.id ORDER BY id LIMIT 1) AS changes_since,
        clock_timestamp() AS as_of
    FROM gateways AS g
    CROSS JOIN event_pruning AS b
    LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
    LEFT JOIN workers AS w ON c.worker_id = w.id
    WHERE g.id = %(gateway_id)s AND g.deleted_at IS NULL
    """,
    PresentState,
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A transition that changed whether the gateway was connected, or whether anybody knew."""

    id: int
    at: datetime
    from_state: str
    to_state: str


# A step tells the states on both of its sides.
_STEPS = """
    SELECT id, at, from_state, to_state
    FROM gateway_events
    WHERE gateway_id = %(gateway_id)s
        AND (from_state IN ('connected', 'unknown') OR to_state IN ('connected', 'unknown'))
"""
FIND_STEP_BEFORE = Query(_STEPS + " AND at <= %(start)s ORDER BY id DESC LIMIT 1", Step, retryable=True)
FIND_STEPS_BEHIND = Query(_STEPS + " AND id > %(after_id)s ORDER BY id LIMIT %(limit)s", Step, retryable=True)


@dataclass(frozen=True, slots=True)
class DesiredStateChange:
    """From this time on the gateway was wanted connected, or was not."""

    id: int
    at: datetime
    is_wanted: bool


FIND_DESIRED_STATE_CHANGES = Query(
    """
    (
        SELECT id, at, is_wanted FROM desired_state_changes
        WHERE gateway_id = %(gateway_id)s AND at <= %(start)s
        ORDER BY id DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT id, at, is_wanted FROM desired_state_changes
        WHERE gateway_id = %(gateway_id)s AND at > %(start)s AND at < %(end)s
        ORDER BY id
        LIMIT %(limit)s
    )
    ORDER BY id
    """,
    DesiredStateChange,
    retryable=True,
)


class HistoryRepository:
    """Reads the past. What is deleted has none."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def find_events(self, gateway_id: UUID, before_id: int | None, limit: int) -> Sequence[GatewayEvent]:
        """At most `limit` transitions, newest first, from before this one; of no gateway: none."""
        return self._executor.fetch_all(
            FIND_EVENTS, {"gateway_id": gateway_id, "before_id": before_id, "limit": limit}
        )

    def find_present(self, gateway_id: UUID) -> PresentState:
        """Raises GatewayNotFoundError."""
        present = self._executor.fetch_one(FIND_PRESENT, {"gateway_id": gateway_id})
        if present is None:
            raise GatewayNotFoundError
        return present

    def find_steps(self, gateway_id: UUID, start: datetime, end: datetime) -> Iterator[Step]:
        """Those within, and one on each side if there is one; oldest first.

        However many: they are read page by page, and others have their turn between two pages.
        """
        before = self._executor.fetch_one(FIND_STEP_BEFORE, {"gateway_id": gateway_id, "start": start})
        after_id = 0
        if before is not None:
            yield before
            after_id = before.id
        while True:
            page = self._executor.fetch_all(
                FIND_STEPS_BEHIND, {"gateway_id": gateway_id, "after_id": after_id, "limit": STEPS_A_PAGE}
            )
            for step in page:
                yield step
                if step.at >= end:
                    return
            if len(page) < STEPS_A_PAGE:
                return
            after_id = page[-1].id

    def find_desired_state_changes(
        self, gateway_id: UUID, start: datetime, end: datetime, limit: int
    ) -> Sequence[DesiredStateChange]:
        """Those within, at most `limit`, and the one that was in force before; oldest first."""
        return self._executor.fetch_all(
            FIND_DESIRED_STATE_CHANGES, {"gateway_id": gateway_id, "start": start, "end": end, "limit": limit}
        )
