"""Connection tests as workers run them: claimed, finished or released, and pruned if left over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from service.database.engine.notifications import notify_connection_test
from service.database.engine.query import Command, Executor, Query
from service.database.observed.workers import WorkerIdentity

PRUNE_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class ClaimedConnectionTest:
    """What a worker needs to run a test; the password is still sealed."""

    id: UUID
    url: str
    email: str
    sealed_password: bytes = field(repr=False)
    sealed_for: UUID
    password_is_confined: bool
    """Sent only to addresses within GATEWAY_NETWORKS_ALLOWED."""
    time_left: timedelta


# What has hardly any time left is not begun: its result would say nothing about the gateway.
CLAIM_TESTS = Query(
    """
    UPDATE connection_tests SET claimed_by = %(worker_id)s
    WHERE id IN (
        SELECT t.id
        FROM connection_tests AS t
        WHERE t.claimed_by IS NULL
            AND t.result IS NULL
            AND t.expires_at > clock_timestamp() + interval '0.5 seconds'
            AND EXISTS (
                SELECT FROM workers AS w
                WHERE w.id = %(worker_id)s AND w.epoch = %(epoch)s AND w.ended_at IS NULL
                    AND NOT database_is_held()
            )
        ORDER BY t.id
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING
        id, url, email, sealed_password, sealed_for, password_is_confined,
        expires_at - clock_timestamp() AS time_left
    """,
    ClaimedConnectionTest,
)

FINISH_TEST = Command(
    """
    UPDATE connection_tests SET result = %(result)s, sealed_password = ''
    WHERE id = %(id)s AND claimed_by = %(worker_id)s AND result IS NULL
    """
)

RELEASE_TEST = Command(
    """
    UPDATE connection_tests SET claimed_by = NULL
    WHERE id = %(id)s AND claimed_by = %(worker_id)s AND result IS NULL
    """
)

PRUNE_TESTS = Command(
    "DELETE FROM connection_tests WHERE expires_at < clock_timestamp() - make_interval(secs => %(after_s)s)"
)


class ConnectionTestClaimRepository:
    """A worker's side. What it writes counts only for what it claimed."""

    def __init__(self, executor: Executor, worker: WorkerIdentity) -> None:
        self._executor = executor
        self._worker = worker

    def claim(self, limit: int) -> Sequence[ClaimedConnectionTest]:
        """At most `limit` unclaimed tests, oldest first; none for a worker that was ended."""
        values = {"worker_id": self._worker.id, "epoch": self._worker.epoch, "limit": limit}
        return self._executor.fetch_all(CLAIM_TESTS, values)

    def finish(self, test_id: UUID, result: Mapping[str, Any]) -> None:
        """Stores the result, and deletes the password."""
        values = {"id": test_id, "worker_id": self._worker.id, "result": Jsonb(result)}
        self._executor.execute(FINISH_TEST, values)

    def release(self, test_id: UUID) -> None:
        """Leaves it to another worker."""
        self._executor.execute(RELEASE_TEST, {"id": test_id, "worker_id": self._worker.id})
        notify_connection_test(self._executor)

    def prune(self) -> int:
        """Deletes expired tests that the API left; returns how many."""
        return self._executor.execute(PRUNE_TESTS, {"after_s": PRUNE_AFTER_S})
