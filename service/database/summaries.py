"""How many gateways are in which state: in all, and in some factories."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.database.query import Executor, Query, required


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many live gateways are in this state, of this factory; or, without one, of all the others."""

    factory_id: UUID | None
    state: str
    count: int


# The state is computed as in the view gateway_statuses, but each worker is looked at once.
COUNT_STATES = Query(
    """
    SELECT
        CASE WHEN g.factory_id = ANY(%(factory_ids)s::uuid[]) THEN g.factory_id END AS factory_id,
        CASE
            WHEN c.worker_id IS NULL THEN 'disconnected'
            WHEN w.is_live THEN c.state
            ELSE 'unknown'
        END AS state,
        count(*) AS count
    FROM gateways AS g
    LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
    LEFT JOIN (
        SELECT id, worker_is_live(workers) AS is_live FROM workers WHERE ended_at IS NULL
    ) AS w ON c.worker_id = w.id
    WHERE g.deleted_at IS NULL
    GROUP BY 1, 2
    """,
    StateCount,
    reads_only=True,
)


@dataclass(frozen=True, slots=True)
class Now:
    """The database's clock."""

    at: datetime


NOW = Query("SELECT clock_timestamp() AS at", Now, reads_only=True)


class SummaryRepository:
    """Counts what workers observed."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def count_states(self, factory_ids: list[UUID]) -> Sequence[StateCount]:
        """Every live gateway is in one of these counts."""
        return self._executor.fetch_all(COUNT_STATES, {"factory_ids": factory_ids})

    def now(self) -> datetime:
        """What time it is for everybody."""
        return required(self._executor.fetch_one(NOW, {})).at
