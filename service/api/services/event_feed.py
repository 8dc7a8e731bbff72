"""Wait for events: many requests wait, one thread per process polls, and only while requests wait.

No notification: it would take a lock whenever a worker's report is committed. No connection is held between
looks, and who waits holds none at all.
"""

import logging
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from service.database.engine.deadline import bounded
from service.database.engine.query import Executor
from service.database.views.event_stream import EventStreamRepository, StreamPosition
from service.errors import DatabaseError, ShuttingDownError, TooManyWaitingError
from service.threads import BackgroundThread

log = logging.getLogger("millgate.api")

Result = TypeVar("Result")


@dataclass(slots=True)
class Slot:
    """A request's, among those that may wait."""

    is_taken: bool = False


class EventFeed:
    """Owns a thread. Any thread may call, but no signal handler: it takes locks."""

    def __init__(
        self, database: Executor, max_waiting: int, readers: int = 1, interval_s: float = 0.25
    ) -> None:
        """`readers`: how many of those that were woken together may use the database at once."""
        self._stream = EventStreamRepository(database)
        self._max_waiting = max_waiting
        self._interval_s = interval_s
        self._readers = threading.BoundedSemaphore(readers)
        self._reads: dict[Hashable, Future[Any]] = {}
        """Those under way, by what they read."""
        lock = threading.Lock()
        self._wanted, self._changed = threading.Condition(lock), threading.Condition(lock)
        self._newest: StreamPosition | None = None
        self._waiting = 0
        self._is_stopping = False
        self._thread = BackgroundThread(self._run, "event-feed")

    def start(self) -> None:
        """Start after the fork."""
        self._thread.start()

    @property
    def is_stopping(self) -> bool:
        """Whether waits have ended for good."""
        return self._is_stopping

    def cancel_waits(self) -> None:
        """End all waits; new ones fail from now on."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            self._wanted.notify_all()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread, after the look under way."""
        self.cancel_waits()
        self._thread.join(timeout_s)

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """For one request, which takes it with its first wait and keeps it until the end of the block.

        A wake-up may concern other events; the request then keeps its slot and waits again.
        """
        slot = Slot()
        try:
            yield slot
        finally:
            self.release(slot)

    def take(self, slot: Slot) -> None:
        """Take a slot before the first wait. Raises as wait_after does."""
        with self._changed:
            self._take(slot)

    def release(self, slot: Slot) -> None:
        """Give a slot back, if it was taken."""
        with self._changed:
            self._waiting -= slot.is_taken
            slot.is_taken = False

    @contextmanager
    def reading(self, limit_s: float) -> Iterator[None]:
        """Around each look for what a request follows. Raises TooManyWaitingError after `limit_s`.

        One event wakes all waiting requests. They take turns, leaving connections for others.
        """
        if not self._readers.acquire(timeout=bounded(limit_s)):
            raise TooManyWaitingError
        try:
            yield
        finally:
            self._readers.release()

    def read_once(self, what: Hashable, read: Callable[[], Result], limit_s: float) -> Result:
        """What `read` returns or raises; requests that ask for the same at the same time share one read.

        Thousands may follow from the same place, and one transition wakes them all. What a shared read does
        not show came later, and is found by the next one. Raises TooManyWaitingError after `limit_s` without
        a turn.
        """
        mine: Future[Result] = Future()
        shared = self._reads.setdefault(what, mine)
        if shared is not mine:
            try:
                return shared.result(bounded(limit_s))  # type: ignore[no-any-return]
            except TimeoutError:
                raise TooManyWaitingError from None
        try:
            with self.reading(limit_s):
                mine.set_result(read())
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            del self._reads[what]
        return mine.result()

    def wait_after(self, slot: Slot, position: StreamPosition, limit_s: float) -> bool:
        """Whether an event after this position came in time; False early if the process stops.

        Raises TooManyWaitingError when as many wait already as may, ShuttingDownError for a first wait in a
        process that stops: to answer these at once would have the client ask again and again.
        """
        with self._changed:
            self._take(slot)
            self._changed.wait_for(lambda: self._is_stopping or self.is_beyond(position), limit_s)
            return self.is_beyond(position)

    def wait_for(self, is_due: Callable[[], bool], limit_s: float) -> None:
        """Wait until something is due; early if the process stops. Hold a slot.

        `is_due` is called after new events and after `wake`, by any thread and under a lock.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or is_due(), limit_s)

    def is_beyond(self, position: StreamPosition) -> bool:
        """Whether there is an event after this position, as far as is known."""
        return self._newest is not None and self._newest > position

    def wake(self) -> None:
        """Have all that wait look whether what they wait for is due."""
        with self._changed:
            self._changed.notify_all()

    def _take(self, slot: Slot) -> None:
        if slot.is_taken:
            return
        if self._is_stopping:
            raise ShuttingDownError
        if self._waiting >= self._max_waiting:
            raise TooManyWaitingError
        slot.is_taken = True
        self._waiting += 1
        self._wanted.notify()

    def _run(self) -> None:
        while self._is_wanted():
            newest = self._look()
            with self._changed:
                if newest is not None and newest != self._newest:
                    self._newest = newest
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_stopping, self._interval_s)

    def _is_wanted(self) -> bool:
        """Wait until a request waits; return False when stopping."""
        with self._wanted:
            self._wanted.wait_for(lambda: self._is_stopping or self._waiting > 0)
            return not self._is_stopping

    def _look(self) -> StreamPosition | None:
        try:
            return self._stream.find_newest()
        except DatabaseError as error:
            log.debug("cannot read the newest event: %s", error)
            return None
