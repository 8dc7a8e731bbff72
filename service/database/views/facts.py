"""As of when something is true, and whether any worker can vouch for it."""

from dataclasses import dataclass
from datetime import datetime

from service.database.engine.query import Executor, Query, required


@dataclass(frozen=True, slots=True)
class Facts:
    """Read before anything else of a page, so that all of it is at least as new."""

    as_of: datetime
    live_workers: int
    is_held: bool
    """The database is a copy that was not taken over."""


READ_FACTS = Query(
    """
    SELECT
        clock_timestamp() AS as_of,
        (
            SELECT count(*) FROM workers WHERE ended_at IS NULL AND worker_is_live(workers)
        ) AS live_workers,
        database_is_held() AS is_held
    """,
    Facts,
    retryable=True,
)


def read_facts(executor: Executor) -> Facts:
    """Raises DatabaseError."""
    return required(executor.fetch_one(READ_FACTS, {}))
