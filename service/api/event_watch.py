"""Waiting for transitions: many requests wait, one thread a process looks, and only while somebody waits.

No notification: it would take a lock whenever a worker's report is committed. No connection is held between
looks, and who waits holds none at all.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.database.event_stream import EventStreamRepository, StreamPosition
from service.database.query import Executor
from service.errors import DatabaseError
from service.threads import BackgroundThread

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Seat:
    """A request's, among those that may wait."""

    is_taken: bool = False


class EventWatch:
    """Owns a thread. Any thread may call; `end_waits` may be called by a signal's handler."""

    def __init__(self, database: Executor, max_waiting: int, interval_s: float = 0.25) -> None:
        self._stream = EventStreamRepository(database)
        self._max_waiting = max_waiting
        self._interval_s = interval_s
        # Its lock may be taken again by who has it: a signal's handler interrupts the main thread anywhere.
        self._changed = threading.Condition()
        self._newest: StreamPosition | None = None
        self._waiting = 0
        self._is_stopping = False
        self._thread = BackgroundThread(self._run, "event-watch")

    def start(self) -> None:
        """Behind the fork."""
        self._thread.start()

    def end_waits(self) -> None:
        """Nobody waits any more, from now on."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread, after the look under way."""
        self.end_waits()
        self._thread.join(timeout_s)

    @contextmanager
    def seat(self) -> Iterator[Seat]:
        """For one request, which takes it with its first wait and keeps it until the end of the block.

        What it is woken by may not be what it follows: it waits on then, whoever else came meanwhile.
        """
        seat = Seat()
        try:
            yield seat
        finally:
            with self._changed:
                self._waiting -= seat.is_taken

    def wait_beyond(self, seat: Seat, position: StreamPosition, limit_s: float) -> bool:
        """Whether something came behind this place, within the limit.

        At once False when as many wait already as may, or the process is about to stop.
        """
        with self._changed:
            if self._is_stopping or not self._take(seat):
                return False
            self._changed.wait_for(lambda: self._is_stopping or self._is_beyond(position), limit_s)
            return self._is_beyond(position)

    def _take(self, seat: Seat) -> bool:
        """Whether the request has its seat, now or from before."""
        if not seat.is_taken and self._waiting < self._max_waiting:
            seat.is_taken = True
            self._waiting += 1
            self._changed.notify_all()
        return seat.is_taken

    def _is_beyond(self, position: StreamPosition) -> bool:
        return self._newest is not None and self._newest > position

    def _run(self) -> None:
        while self._is_wanted():
            newest = self._look()
            with self._changed:
                if newest is not None:
                    self._newest = newest
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_stopping, self._interval_s)

    def _is_wanted(self) -> bool:
        """Returns when somebody waits, or with False when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or self._waiting > 0)
            return not self._is_stopping

    def _look(self) -> StreamPosition | None:
        try:
            return self._stream.find_newest()
        except DatabaseError as error:
            log.debug("what is new is not known: %s", error)
            return None
