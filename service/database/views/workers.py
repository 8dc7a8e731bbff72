"""Workers as an operator sees them: those that have not ended, whether their word counts, what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.database.engine.paging import PageStart
from service.database.engine.query import Count, Executor, Query, required


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that has not ended. It is live unless its lease ran out or its session is gone."""

    id: UUID
    host: str
    pid: int
    version: str
    started_at: datetime
    heartbeat_at: datetime
    lease_expires_at: datetime
    is_live: bool
    is_draining: bool
    gateways_held: int
    gateway_capacity: int | None


# What is held is counted where it is true; a worker's own row tells what it was at the last heartbeat.
FIND_PAGE = Query(
    """
    SELECT
        w.id, w.host, w.pid, w.version, w.started_at, w.heartbeat_at, w.lease_expires_at,
        worker_is_live(w) AS is_live, w.is_draining,
        (SELECT count(*) FROM gateway_connections AS c WHERE c.worker_id = w.id) AS gateways_held,
        w.gateway_capacity
    FROM workers AS w
    WHERE w.ended_at IS NULL
        AND (%(after_id)s::uuid IS NULL OR (w.host, w.id) > (%(after_key)s::text, %(after_id)s::uuid))
    ORDER BY w.host, w.id
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    RunningWorker,
    retryable=True,
)

COUNT = Query("SELECT count(*) AS count FROM workers WHERE ended_at IS NULL", Count, retryable=True)


class RunningWorkerRepository:
    """Reads what workers wrote about themselves."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def find_all(self, start: PageStart, limit: int) -> Sequence[RunningWorker]:
        """At most `limit` workers that have not ended, by host, then id."""
        return self._executor.fetch_all(FIND_PAGE, {**start.parameters(), "limit": limit})

    def count(self) -> int:
        """How many have not ended."""
        return required(self._executor.fetch_one(COUNT, {})).count
