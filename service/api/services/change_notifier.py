"""Telling workers of what was written: after the commit, from a thread of its own, once for many.

Within the transaction, as the trigger on `gateways` does it, commits would wait for each other.
"""

import logging
import threading

from service.database.engine.notifications import notify_gateways_changed
from service.database.engine.query import Executor
from service.errors import DatabaseError
from service.threads import BackgroundThread

log = logging.getLogger("millgate.api")


class ChangeNotifier:
    """Owns a thread. Tells at once, then again after `interval_s` at the earliest. Any thread may call."""

    def __init__(self, database: Executor, interval_s: float = 0.02) -> None:
        self._database = database
        self._interval_s = interval_s
        self._told = threading.Condition()
        self._is_pending = False
        self._stopping = threading.Event()
        self._thread = BackgroundThread(self._run, "change-notifier")

    def start(self) -> None:
        """Behind the fork. What was told before is told on now."""
        self._thread.start()

    def notify(self) -> None:
        """Something was committed. Returns at once."""
        with self._told:
            self._is_pending = True
            self._told.notify()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread, after it told what is pending."""
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
                log.debug("workers are not told of a change: %s", error)
            # Not on the condition: nobody who tells is to wake this thread meanwhile.
            self._stopping.wait(self._interval_s)

    def _take(self) -> bool:
        """Returns when something is to be told, or with False when nothing is and it is time to stop."""
        with self._told:
            self._told.wait_for(lambda: self._is_pending or self._stopping.is_set())
            taken, self._is_pending = self._is_pending, False
            return taken
