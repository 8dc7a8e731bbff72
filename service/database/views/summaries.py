"""How many gateways are in which state: in all, and in some factories."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.database.desired import gateway_lists
from service.database.engine.query import Executor, Query, required


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many live gateways are in this state, of this factory; or, without one, of all the others."""

    factory_id: UUID | None
    state: str
    count: int


# The state is the one of the view gateway_statuses; what nobody holds is disconnected. Each key that is
# grouped by costs as much as the join of the two large tables, so it is two, and the factories that are not
# asked for are put together behind the counting, by which time a few rows a factory are left.
COUNT_STATES = Query(
    """
    SELECT
        CASE WHEN n.factory_id = ANY(%(factory_ids)s::uuid[]) THEN n.factory_id END AS factory_id,
        n.state,
        sum(n.count)::bigint AS count
    FROM (
        SELECT
            g.factory_id,
            CASE
                WHEN c.worker_id = ANY(%(lost_workers)s::uuid[]) THEN 'unknown'
                ELSE coalesce(c.state, 'disconnected')
            END AS state,
            count(*) AS count
        FROM gateways AS g
        LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
        WHERE g.deleted_at IS NULL
        GROUP BY 1, 2
    ) AS n
    GROUP BY 1, 2
    """,
    StateCount,
    retryable=True,
    custom_plan=True,
)


@dataclass(frozen=True, slots=True)
class Now:
    """The database's clock."""

    at: datetime


NOW = Query("SELECT clock_timestamp() AS at", Now, retryable=True)


class SummaryRepository:
    """Counts what workers observed."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def count_states(self, factory_ids: list[UUID]) -> Sequence[StateCount]:
        """Every live gateway is in one of these counts."""
        workers = self._executor.fetch_all(gateway_lists.FIND_WORKERS, {})
        lost_workers = [worker.id for worker in workers if not worker.is_live]
        return self._executor.fetch_all(
            COUNT_STATES, {"factory_ids": factory_ids, "lost_workers": lost_workers}
        )

    def now(self) -> datetime:
        """What time it is for everybody."""
        return required(self._executor.fetch_one(NOW, {})).at
