"""Notify workers of writes: after the commit, from a thread of its own, one notification for many writes.

Within the transaction, as the trigger on `gateways` does it, commits would wait for each other.
"""

import logging
import threading

from flask import g

from service.database.engine.notifications import notify_gateways_changed
from service.database.engine.query import Executor
from service.errors import DatabaseError
from service.threads import BackgroundThread

log = logging.getLogger("millgate.api")


class ChangeNotifier:
    """Owns a thread. Notifies at once, then at most every `interval_s`. Thread-safe."""

    def __init__(self, database: Executor, interval_s: float = 0.02) -> None:
        self._database = database
        self._interval_s = interval_s
        self._told = threading.Condition()
        self._is_pending = False
        self._stopping = threading.Event()
        self._thread = BackgroundThread(self._run, "change-notifier")

    def start(self) -> None:
        """Start after the fork. Writes noted before are notified now."""
        self._thread.start()

    def notify(self) -> None:
        """Note that something was committed. Does not block."""
        with self._told:
            self._is_pending = True
            self._told.notify()

    def stop(self, timeout_s: float) -> None:
        """Send what is pending and end the thread."""
        self._stopping.set()
        with self._told:
            self._told.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while self._take():
            try:
                notify_gateways_changed(self._database)
            except DatabaseError as error:
                # Workers find it by themselves, within POLL_INTERVAL_S.
                log.debug("could not notify workers of a change: %s", error)
            # Not on the condition: further writes must not wake this thread meanwhile.
            self._stopping.wait(self._interval_s)

    def _take(self) -> bool:
        """Wait until a notification is pending; return False when stopping without one."""
        with self._told:
            self._told.wait_for(lambda: self._is_pending or self._stopping.is_set())
            taken, self._is_pending = self._is_pending, False
            return taken


def note_written(*, anything: bool) -> None:
    """Whether the request in hand wrote anything that others might have to know; without this it did."""
    g.has_written = anything
