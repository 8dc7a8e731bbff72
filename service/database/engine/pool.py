"""One pool of connections a process: single statements, transactions, and their recovery."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from service.config import DatabaseConfig
from service.database.engine.deadline import bounded
from service.database.engine.error_mapping import map_errors
from service.database.engine.prepared import OUTDATED, execute, fetch
from service.database.engine.query import Command, Executor, Parameters, Query, Row
from service.database.engine.timeout_connection import ServerTimeoutError, connection_class, has_pending_input
from service.errors import DatabaseUnavailableError
from service.ongoing_failure import OngoingFailure

log = logging.getLogger("millgate.database")

Connection = psycopg.Connection[Any]
Result = TypeVar("Result")
Statement = TypeVar("Statement")

MAX_QUEUED = 1000
"""Requests that may wait for a connection. A healthy database serves as many well within DB_POOL_TIMEOUT_S:
so beyond this there are too many (OverloadedError), and who waits in vain waits for a database in trouble."""
# Statements that succeed beside those that fail (on a full disk, reads) do not end an outage.
_CALM_S = 2.0
# How long a server that ends a statement in time may take to say so.
_SILENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool has at this moment, and what it did since when it was asked to count from."""

    in_use: int
    free: int
    requests: int
    queued: int
    waited_s: float
    errors: int
    connection_errors: int

    @classmethod
    def of(cls, counted: Mapping[str, int]) -> "PoolStats":
        """From psycopg_pool's names."""
        free = counted.get("pool_available", 0)
        return cls(
            in_use=max(0, counted.get("pool_size", 0) - free),
            free=free,
            requests=counted.get("requests_num", 0),
            queued=counted.get("requests_queued", 0),
            waited_s=counted.get("requests_wait_ms", 0) / 1000,
            errors=counted.get("requests_errors", 0),
            connection_errors=counted.get("connections_errors", 0),
        )


class ConnectionExecutor:
    """Runs statements on one connection; inside a transaction if there is one. One thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fetch_one(self, query: Query[Row], parameters: Parameters) -> Row | None:
        """See Executor."""
        rows = self.fetch_all(query, parameters)
        return rows[0] if rows else None

    def fetch_all(self, query: Query[Row], parameters: Parameters) -> list[Row]:
        """See Executor."""
        with map_errors():
            return fetch(self._connection, query, parameters)

    def execute(self, command: Command, parameters: Parameters) -> int:
        """See Executor."""
        with map_errors():
            return execute(self._connection, command, parameters)


class Database:
    """The pool. Open it after a fork; any thread may call. It is an Executor of single statements itself."""

    def __init__(self, config: DatabaseConfig, application_name: str, *, defer_notify: bool = False) -> None:
        """`defer_notify`: see connection_options."""
        self._config = config
        self._outage = _Outage(
            log,
            begins="statements fail: %s; clients get errors, workers retry;"
            " check PostgreSQL, see docs/runbook.md#database-away",
            ends="statements succeed again, after %.1f s",
            calm_s=_CALM_S,
        )
        self._pool = ConnectionPool[Connection](
            config.url,
            connection_class=connection_class(config.statement_timeout_s + _SILENCE_S),
            kwargs=connection_options(config, application_name, defer_notify=defer_notify),
            min_size=config.pool_min,
            max_size=config.pool_max,
            timeout=config.pool_timeout_s,
            # The pool's own threads try a lost connection again at this pace at the slowest.
            reconnect_timeout=config.connect_timeout_s,
            max_waiting=MAX_QUEUED,
            name=application_name,
            open=False,
        )

    def open(self) -> None:
        """Starts connecting and returns at once."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Closes every connection; waits at most 2 s for those in use."""
        self._pool.close(timeout=2)

    def stats(self) -> PoolStats:
        """What the pool did since it was opened."""
        return PoolStats.of(self._pool.get_stats())

    def pop_stats(self) -> PoolStats:
        """What the pool did since this was last asked."""
        return PoolStats.of(self._pool.pop_stats())

    def answers(self) -> bool:
        """Whether the server answers on a new connection, beside the pool."""
        try:
            with connect(self._config, self._pool.name) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def fetch_one(self, query: Query[Row], parameters: Parameters) -> Row | None:
        """See Executor. A query that only reads is tried again once over a fresh connection."""
        return self._run(ConnectionExecutor.fetch_one, query, parameters, repeat=query.retryable)

    def fetch_all(self, query: Query[Row], parameters: Parameters) -> list[Row]:
        """See Executor. A query that only reads is tried again once over a fresh connection."""
        return self._run(ConnectionExecutor.fetch_all, query, parameters, repeat=query.retryable)

    def execute(self, command: Command, parameters: Parameters) -> int:
        """See Executor."""
        return self._run(ConnectionExecutor.execute, command, parameters, repeat=False)

    @contextmanager
    def transaction(self) -> Iterator[Executor]:
        """One transaction: committed at the end of the block, rolled back by any exception.

        A connection that turns out to be lost when the transaction begins is replaced, once.
        """
        with self._outage, map_errors(), ExitStack() as stack:
            try:
                connection = self._begin(stack)
            except psycopg.OperationalError as error:
                if not _is_disconnect(error):
                    raise
                stack.close()
                self._pool.check()
                connection = self._begin(stack)
            try:
                yield ConnectionExecutor(connection)
            except DatabaseUnavailableError as error:
                if isinstance(error.__cause__, OUTDATED):
                    self._pool.drain()
                raise

    def _acquire(self) -> Connection:
        return self._pool.getconn(bounded(self._config.pool_timeout_s))

    def _acquire_checked(self) -> Connection:
        """For what is not to be repeated: one whose server did not say goodbye meanwhile."""
        for _ in range(self._pool.max_size):
            connection = self._acquire()
            if not has_pending_input(connection):
                return connection
            # Other threads give back such ones, too, at any time: what is closed comes to nobody again.
            connection.close()
            self._pool.putconn(connection)
            self._pool.check()
        return self._acquire()

    def _begin(self, stack: ExitStack) -> Connection:
        connection = self._acquire()
        stack.callback(self._pool.putconn, connection)
        stack.enter_context(connection.transaction())
        return connection

    def _run(
        self,
        work: Callable[[ConnectionExecutor, Statement, Parameters], Result],
        statement: Statement,
        parameters: Parameters,
        *,
        repeat: bool,
    ) -> Result:
        with self._outage:
            try:
                return self._run_once(work, statement, parameters, is_good=not repeat)
            except DatabaseUnavailableError as error:
                if isinstance(error.__cause__, OUTDATED):
                    # Refused before it did anything. Where one was prepared before a migration, all were.
                    self._pool.drain()
                elif _is_disconnect(error.__cause__):
                    # The server restarted, it seems: look at all connections, not at one a request.
                    self._pool.check()
                    if not repeat:
                        raise
                else:
                    raise
            return self._run_once(work, statement, parameters, is_good=True)

    def _run_once(
        self,
        work: Callable[[ConnectionExecutor, Statement, Parameters], Result],
        statement: Statement,
        parameters: Parameters,
        *,
        is_good: bool,
    ) -> Result:
        with map_errors():
            connection = self._acquire_checked() if is_good else self._acquire()
        try:
            return work(ConnectionExecutor(connection), statement, parameters)
        finally:
            self._pool.putconn(connection)


class _Outage(OngoingFailure):
    """Around each use of the database."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        """Notes whether the database did what was asked; an error of another kind says nothing of it."""
        if error is None:
            self.over()
        elif isinstance(error, DatabaseUnavailableError):
            self.failed(error)


def _is_disconnect(error: BaseException | None) -> bool:
    """Whether the connection is gone: without a word (no SQLSTATE), broken (08…), or ended (57P…)."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    if isinstance(error, (PoolTimeout, PoolClosed, TooManyRequests, ServerTimeoutError)):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def connect(config: DatabaseConfig, application_name: str) -> Connection:
    """One connection beside the pool, with the same bounds. Raises psycopg.OperationalError."""
    kind = connection_class(config.statement_timeout_s + _SILENCE_S)
    return kind.connect(config.url, **connection_options(config, application_name))


def connection_options(
    config: DatabaseConfig, application_name: str, *, defer_notify: bool = False
) -> dict[str, Any]:
    """Arguments for a connection of ours: autocommit, and a bound on every wait.

    `defer_notify`: what it writes into `gateways` notifies nobody, which is left to who writes.
    """
    statement_timeout_ms = round(config.statement_timeout_s * 1000)
    return {
        "autocommit": True,
        "application_name": application_name,
        "connect_timeout": round(config.connect_timeout_s),
        "options": (
            f"-c statement_timeout={statement_timeout_ms}"
            f" -c lock_timeout={statement_timeout_ms}"
            f" -c idle_in_transaction_session_timeout={2 * statement_timeout_ms}"
            # As the function rfc3339 takes it.
            " -c timezone=UTC -c datestyle=ISO"
            f" -c millgate.defer_notify={'on' if defer_notify else 'off'}"
        ),
        # A server that went away without a word is given up on after this long.
        "tcp_user_timeout": statement_timeout_ms,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
