"""Receives PostgreSQL's notifications. Hints only: their receivers also poll."""

import logging
import threading
from collections.abc import Callable, Mapping

import psycopg
from psycopg import sql

from service.config import DatabaseConfig
from service.database.engine.pool import connection_options
from service.ongoing_failure import OngoingFailure
from service.threads import BackgroundThread

log = logging.getLogger("millgate.worker")

_POLL_S = 0.5


class ChangeListener:
    """Owns a thread and a database session."""

    def __init__(
        self,
        database: DatabaseConfig,
        callbacks: Mapping[str, Callable[[], None]],
        payload_callbacks: Mapping[str, Callable[[str], None]],
    ) -> None:
        """`callbacks`: by channel, called on the listener's thread, and after each (re)connect.

        `payload_callbacks`: by channel, called with the payload of a notification.
        """
        self._database = database
        self._callbacks = callbacks
        self._payload_callbacks = payload_callbacks
        self._listening = OngoingFailure(
            log,
            begins="cannot listen for notifications (%s); changes are found by polling, seconds later; check"
            " PostgreSQL, and that no pooler is in between, see docs/runbook.md#database-away",
            ends="notifications are received again, after %.1f s",
        )
        self._stopping = threading.Event()
        self._thread = BackgroundThread(self._run, "listener")

    def start(self) -> None:
        """Starts listening."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                self._listening.failed(type(error).__name__)
                self._stopping.wait(_POLL_S)

    def _listen(self) -> None:
        options = connection_options(self._database, "millgate-listener")
        with psycopg.connect(self._database.url, **options) as connection:
            for channel in (*self._callbacks, *self._payload_callbacks):
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._listening.over()
            for callback in self._callbacks.values():
                callback()
            while not self._stopping.is_set():
                for notification in connection.notifies(timeout=_POLL_S, stop_after=1):
                    if notification.channel in self._callbacks:
                        self._callbacks[notification.channel]()
                    else:
                        self._payload_callbacks[notification.channel](notification.payload)
