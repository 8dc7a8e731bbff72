"""What has to be there before the service can keep its promises."""

from dataclasses import dataclass

from service.database.engine.query import Executor, Query, required


@dataclass(frozen=True, slots=True)
class LatestMigration:
    """The newest migration that the database has."""

    version: str | None


LATEST_MIGRATION = Query(
    "SELECT max(version::text) AS version FROM schema_migrations", LatestMigration, retryable=True
)


@dataclass(frozen=True, slots=True)
class LiveWorkers:
    """How many workers hold a lease now."""

    count: int


COUNT_LIVE_WORKERS = Query(
    "SELECT count(*) AS count FROM workers AS w WHERE w.ended_at IS NULL AND worker_is_live(w)",
    LiveWorkers,
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class DatabaseHeld:
    """Whether the database is a copy that was not taken over."""

    is_held: bool


IS_HELD = Query("SELECT database_is_held() AS is_held", DatabaseHeld, retryable=True)


def latest_migration(executor: Executor) -> str | None:
    """The version of the newest migration that was applied. Raises DatabaseError."""
    return required(executor.fetch_one(LATEST_MIGRATION, {})).version


def count_live_workers(executor: Executor) -> int:
    """How many workers are live. Raises DatabaseError."""
    return required(executor.fetch_one(COUNT_LIVE_WORKERS, {})).count


def is_held(executor: Executor) -> bool:
    """Whether the database is held, so that no worker can be live. Raises DatabaseError."""
    return required(executor.fetch_one(IS_HELD, {})).is_held
