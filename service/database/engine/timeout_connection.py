"""A connection that gives up on a server which is silent, not only on one that is gone."""

import select
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from service.database.engine.deadline import bounded

# How long a server may take to say that it ended a statement when it is asked to.
_CANCEL_LIMIT_S = 0.25


class ServerTimeoutError(psycopg.OperationalError):
    """The server gave no answer in time. The connection was closed: half an answer may be on its way."""


class TimeoutConnection(psycopg.Connection[Any]):
    """The server ends statements that take too long by itself; this is for one that does not even do that.

    A frozen server's system still confirms what it receives, so TCP notices nothing.
    """

    answer_limit_s = 5.0
    """The longest wait for one answer; a deadline of the caller may be nearer."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg. Raises ServerTimeoutError, or QueryCanceled from a server that is only too slow."""
        limit_s = bounded(self.answer_limit_s if timeout is None else timeout)
        try:
            return super().wait(gen, interval=interval, timeout=limit_s)
        except psycopg.OperationalError as error:
            if not self._is_waiting(error):
                raise
        try:
            # Nobody waits for this statement any more: the server need not finish it.
            self.cancel_safe(timeout=_CANCEL_LIMIT_S)
            return super().wait(gen, interval=interval, timeout=_CANCEL_LIMIT_S)
        except psycopg.OperationalError as error:
            if error.sqlstate is not None:
                raise
            self.close()
            raise ServerTimeoutError("the server gave no answer in time") from None

    def _is_waiting(self, error: psycopg.OperationalError) -> bool:
        """Still busy, and not lost: it is the time that was up."""
        if error.sqlstate is not None or self.closed:
            return False
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE


def has_pending_input(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server sent something while nobody asked, such as a goodbye."""
    # Not select(): the descriptor's number may be beyond what that takes.
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def connection_class(limit_s: float) -> type[TimeoutConnection]:
    """Connections that wait `limit_s` seconds for an answer."""
    return type("TimeoutConnection", (TimeoutConnection,), {"answer_limit_s": limit_s})
