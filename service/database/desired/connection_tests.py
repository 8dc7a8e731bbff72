"""Connection tests: a worker tries a login once, before it is saved.

API and workers meet in a row of `connection_tests`. The API deletes it when it has read the result; workers
delete what is left `PRUNE_AFTER_S` after it expired.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.config import CONNECTION_TESTS_PER_WORKER
from service.database.engine.notifications import notify_connection_test
from service.database.engine.query import Command, Count, Executor, Query, required
from service.errors import GatewayNotFoundError, NoWorkerError, TooManyConnectionTestsError

MOST_IN_ALL = 16


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """What a gateway is reached with, but for its password."""

    url: str
    email: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many workers can run tests, and how many tests run or wait."""

    workers: int
    tests: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a test is."""

    result: dict[str, Any] | None
    is_claimed: bool
    has_worker: bool
    """The worker that runs it is live; before one has claimed it: a live worker could claim it."""


# One after the other: what the next statement counts stays true until the end of the transaction. The number
# names this lock, and nothing else here takes a lock by number.
LOCK_TESTS = Query(
    """
    WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(6147230951))
    SELECT count(*) AS count FROM turn
    """,
    Count,
)

FIND_CAPACITY = Query(
    """
    SELECT
        (SELECT count(*) FROM workers AS w WHERE worker_is_live(w) AND NOT w.is_draining) AS workers,
        (
            SELECT count(*) FROM connection_tests
            WHERE result IS NULL AND expires_at > clock_timestamp()
        ) AS tests
    """,
    Capacity,
    retryable=True,
)

# Locked until the test has its own copy of the password.
LOCK_STORED_LOGIN = Query(
    "SELECT url, email FROM gateways WHERE id = %(gateway_id)s AND deleted_at IS NULL FOR SHARE", StoredLogin
)

INSERT_TEST = Command(
    """
    INSERT INTO connection_tests (id, url, email, sealed_password, sealed_for, expires_at)
    VALUES (
        %(id)s, %(url)s, %(email)s, %(sealed_password)s, %(id)s,
        clock_timestamp() + make_interval(secs => %(limit_s)s)
    )
    """
)

# The API never opens a password: it is copied as it is, and opens with the gateway's id.
INSERT_TEST_OF_STORED = Command(
    """
    INSERT INTO connection_tests (
        id, url, email, sealed_password, sealed_for, password_is_confined, expires_at
    )
    SELECT
        %(id)s, %(url)s, %(email)s, g.sealed_password, g.id,
        coalesce(%(password_is_confined)s::boolean, g.password_is_confined),
        clock_timestamp() + make_interval(secs => %(limit_s)s)
    FROM gateways AS g
    WHERE g.id = %(gateway_id)s AND g.deleted_at IS NULL
    """
)


FIND_PROGRESS = Query(
    """
    SELECT
        t.result,
        t.claimed_by IS NOT NULL AS is_claimed,
        EXISTS (
            SELECT FROM workers AS w
            WHERE worker_is_live(w)
                AND CASE WHEN t.claimed_by IS NULL THEN NOT w.is_draining ELSE w.id = t.claimed_by END
        ) AS has_worker
    FROM connection_tests AS t
    WHERE t.id = %(id)s
    """,
    Progress,
    retryable=True,
)

DELETE_TEST = Command("DELETE FROM connection_tests WHERE id = %(id)s")


class ConnectionTestRepository:
    """The API's side: `create…` in a transaction, the rest on the database."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create(self, test_id: UUID, login: StoredLogin, sealed_password: bytes, limit_s: float) -> None:
        """A test with a password that is sealed for this id.

        Raises NoWorkerError, TooManyConnectionTestsError.
        """
        self._check_capacity()
        values = {"id": test_id, "url": login.url, "email": login.email, "sealed_password": sealed_password}
        self._executor.execute(INSERT_TEST, {**values, "limit_s": limit_s})
        notify_connection_test(self._executor)

    def create_with_stored_password(
        self,
        test_id: UUID,
        gateway_id: UUID,
        login: StoredLogin,
        limit_s: float,
        password_is_confined: bool | None = None,
    ) -> None:
        """The same with the password of a gateway, which `lock_login` holds as it is.

        `password_is_confined`: None if it is as confined as the gateway's.
        Raises GatewayNotFoundError, NoWorkerError, TooManyConnectionTestsError.
        """
        self._check_capacity()
        values = {
            "id": test_id,
            "gateway_id": gateway_id,
            "url": login.url,
            "email": login.email,
            "password_is_confined": password_is_confined,
            "limit_s": limit_s,
        }
        if self._executor.execute(INSERT_TEST_OF_STORED, values) == 0:
            raise GatewayNotFoundError
        notify_connection_test(self._executor)

    def lock_login(self, gateway_id: UUID) -> StoredLogin:
        """How a gateway is reached, until the transaction ends. Raises GatewayNotFoundError."""
        login = self._executor.fetch_one(LOCK_STORED_LOGIN, {"gateway_id": gateway_id})
        if login is None:
            raise GatewayNotFoundError
        return login

    def find_progress(self, test_id: UUID) -> Progress | None:
        """None if the row is gone."""
        return self._executor.fetch_one(FIND_PROGRESS, {"id": test_id})

    def delete(self, test_id: UUID) -> None:
        """The API no longer waits for it."""
        self._executor.execute(DELETE_TEST, {"id": test_id})

    def _check_capacity(self) -> None:
        required(self._executor.fetch_one(LOCK_TESTS, {}))
        capacity = required(self._executor.fetch_one(FIND_CAPACITY, {}))
        if not capacity.workers:
            raise NoWorkerError
        if capacity.tests >= min(capacity.workers * CONNECTION_TESTS_PER_WORKER, MOST_IN_ALL):
            raise TooManyConnectionTestsError
