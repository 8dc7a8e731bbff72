"""Taking over a copy of a database: a restored dump is held until an operator says that the original is gone.

What identifies a database, and whether this one is held, are functions of the schema; workers ask for them
in the statements that register, renew and claim.
"""

from dataclasses import dataclass
from datetime import datetime

from service.database.engine.query import Command, Executor, Query


@dataclass(frozen=True, slots=True)
class LastWorker:
    """The worker that was heard of last."""

    host: str
    heartbeat_at: datetime


FIND_LAST_WORKER = Query(
    "SELECT host, heartbeat_at FROM workers ORDER BY heartbeat_at DESC LIMIT 1", LastWorker, retryable=True
)

TAKE_OVER = Command(
    """
    UPDATE database_identity SET identity = current_database_identity(), recorded_at = now()
    WHERE database_is_held()
    """
)


def find_last_worker(executor: Executor) -> LastWorker | None:
    """In a copy it is a worker of the original, at the time of the dump. None: there was none in a week."""
    return executor.fetch_one(FIND_LAST_WORKER, {})


def take_over(executor: Executor) -> bool:
    """Lets workers claim from now on; returns whether the database was held."""
    return executor.execute(TAKE_OVER, {}) == 1
