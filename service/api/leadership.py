"""One of many threads leads, until something takes it long: then another leads, and it goes on with that."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Work = TypeVar("Work")
_LOOK_EVERY_S = 1.0


class Lead(Generic[Work]):
    """What the thread has that leads, and no other uses."""

    def __init__(self, leadership: "Leadership[Work]") -> None:
        self._leadership = leadership
        # It or nothing. Who takes it out leads from there on.
        self.under_way: deque[Work] = deque()

    def begin(self, work: Work) -> None:
        """From now on it may be overtaken."""
        self._leadership.begun += 1
        self.under_way.append(work)
        self._leadership.stir()

    def finish(self) -> bool:
        """Whether this thread still leads."""
        try:
            self.under_way.pop()
        except IndexError:
            return False
        return True


class Leadership(Generic[Work]):
    """Any thread may wait for it. One of those watches what the leader does; the others sleep."""

    def __init__(self, patience_s: float) -> None:
        """`patience_s`: how long the leader may do one thing, twice that at most."""
        self._patience_s = patience_s
        self._lead: Lead[Work] | None = None
        self._watching = threading.Lock()
        self._ended, self._stirred = threading.Event(), threading.Event()
        self._is_watcher_asleep = False
        self.begun = 0
        """How many things were begun: whether it is still the same one."""

    def wait(self, take_over: Callable[[Work], object]) -> Lead[Work] | None:
        """Waits to lead; None at the end. What the one before is still at is given to `take_over`."""
        with self._watching:
            while not self._ended.is_set():
                overdue = self._watch(self._lead) if self._lead else []
                if overdue is None:
                    continue
                for work in overdue:
                    take_over(work)
                self._lead = Lead(self)
                return self._lead
            return None

    def stir(self) -> None:
        """There is something to watch."""
        if self._is_watcher_asleep:
            self._is_watcher_asleep = False
            self._stirred.set()

    def end(self) -> None:
        """Nobody leads any more."""
        self._ended.set()
        self._stirred.set()

    def has_ended(self, wait_s: float = 0) -> bool:
        """Whether it is the end, within so many seconds."""
        return self._ended.wait(wait_s) if wait_s else self._ended.is_set()

    def _watch(self, lead: Lead[Work]) -> list[Work] | None:
        """What the leader takes too long for; None if there is no such thing yet."""
        begun = self.begun
        if not lead.under_way:
            self._stirred.clear()
            self._is_watcher_asleep = True
            if not lead.under_way:
                self._stirred.wait(_LOOK_EVERY_S)
            return None
        if self._ended.wait(self._patience_s) or begun != self.begun:
            return None
        try:
            return [lead.under_way.pop()]
        except IndexError:
            return None
