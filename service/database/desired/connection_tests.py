"""Trials: a login that a client wants to know to work, before it is saved; a worker tries it out, once.

API and workers meet in a row of `connection_tests`. It is gone when its answer was read, and at the latest
`PRUNE_AFTER_S` (of `trial_claims`) after it was to be over.
"""

from collections.abc import Callable
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
    """Who could do a trial, and how many are under way or wait."""

    workers: int
    trials: int


@dataclass(frozen=True, slots=True)
class TrialId:
    """The id of a trial, which its password is sealed with."""

    id: UUID


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a trial is."""

    result: dict[str, Any] | None
    is_claimed: bool
    has_worker: bool
    """Whether the worker that does it is live; if none does it yet: whether any is that could."""


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
        ) AS trials
    """,
    Capacity,
    retryable=True,
)

NEW_TEST_ID = Query("SELECT uuidv7() AS id", TrialId, retryable=True)

# Kept as it is until the trial has its own copy of the password.
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
    """The API's side: `begin…` in a transaction, the rest on the database."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def begin(self, url: str, email: str, seal: Callable[[UUID], bytes], limit_s: float) -> UUID:
        """A trial with a password that `seal` seals for the id that it is told.

        Raises NoWorkerError, TooManyConnectionTestsError.
        """
        self._check_capacity()
        test_id = self._new_id()
        values = {"id": test_id, "url": url, "email": email, "sealed_password": seal(test_id)}
        self._executor.execute(INSERT_TEST, {**values, "limit_s": limit_s})
        notify_connection_test(self._executor)
        return test_id

    def create_with_stored_password(
        self, gateway_id: UUID, login: StoredLogin, limit_s: float, password_is_confined: bool | None = None
    ) -> UUID:
        """The same with the password of a gateway, which `lock_login` holds as it is.

        `password_is_confined`: None if it is as confined as the gateway's.
        Raises GatewayNotFoundError, NoWorkerError, TooManyConnectionTestsError.
        """
        self._check_capacity()
        test_id = self._new_id()
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
        return test_id

    def lock_login(self, gateway_id: UUID) -> StoredLogin:
        """How a gateway is reached, until the transaction ends. Raises GatewayNotFoundError."""
        login = self._executor.fetch_one(LOCK_STORED_LOGIN, {"gateway_id": gateway_id})
        if login is None:
            raise GatewayNotFoundError
        return login

    def find_progress(self, test_id: UUID) -> Progress | None:
        """None: it is not there any more, whatever of."""
        return self._executor.fetch_one(FIND_PROGRESS, {"id": test_id})

    def delete(self, test_id: UUID) -> None:
        """Nobody waits for it."""
        self._executor.execute(DELETE_TEST, {"id": test_id})

    def _new_id(self) -> UUID:
        return required(self._executor.fetch_one(NEW_TEST_ID, {})).id

    def _check_capacity(self) -> None:
        required(self._executor.fetch_one(LOCK_TESTS, {}))
        room = required(self._executor.fetch_one(FIND_CAPACITY, {}))
        if not room.workers:
            raise NoWorkerError
        if room.trials >= min(room.workers * CONNECTION_TESTS_PER_WORKER, MOST_IN_ALL):
            raise TooManyConnectionTestsError
