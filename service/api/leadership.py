"""One of many threads leads, until something takes it long: then another leads, and it goes on with that."""

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

Work = TypeVar("Work")
_LOOK_EVERY_S = 1.0


class Lead(Generic[Work]):
    """What the thread has that leads, and no other uses."""

    def __init__(self, leadership: "Leadership[Work]") -> None:
        self._leadership = leadership
        # It or nothing. Who takes it out decides who leads from there on.
        self.under_way: deque[Work] = deque()

    def begin(self, work: Work) -> None:
        """From now on it may be overtaken."""
        self._leadership.begun += 1
        self.under_way.append(work)
        self._leadership.stir()

    def finish(self) -> bool:
        """Whether this thread still leads, and now has nothing under way."""
        try:
            self.under_way.pop()
        except IndexError:
            return False
        return True


class Leadership(Generic[Work]):
    """Any thread may wait for it, and one watches what the leader does."""

    def __init__(self, patience_s: float) -> None:
        """`patience_s`: how long the leader may do one thing, twice that at most."""
        self._patience_s = patience_s
        # Held by who leads. Whoever takes what is under way out of a lead releases it, or goes on leading.
        self._baton = threading.Lock()
        self._lead = Lead(self)
        self._stirred = threading.Event()
        self._is_watcher_asleep = False
        self.begun = 0
        """How many things were begun: whether it is still the same one."""
        self.has_ended = False

    def wait(self) -> Lead[Work] | None:
        """Waits to lead; None at the end."""
        self._baton.acquire()
        if self.has_ended:
            self._baton.release()
            return None
        self._lead = Lead(self)
        return self._lead

    def pass_on(self) -> None:
        """To somebody else, at once. For who leads, and has nothing under way."""
        self._baton.release()

    def stir(self) -> None:
        """There is something to watch."""
        if self._is_watcher_asleep:
            self._is_watcher_asleep = False
            self._stirred.set()

    def end(self) -> None:
        """Nobody leads any more, once who does has looked at `has_ended`."""
        self.has_ended = True
        self._stirred.set()

    def watch(self, limit_s: float, take_over: Callable[[Work], object]) -> None:
        """For so long, or to the end. What a leader is at that takes it too long is given to `take_over`."""
        until = monotonic() + limit_s
        while not self.has_ended and (left_s := until - monotonic()) > 0:
            self._look(left_s, take_over)

    def _look(self, limit_s: float, take_over: Callable[[Work], object]) -> None:
        lead, begun = self._lead, self.begun
        # In this order: what happens behind one of these lines shows in the next.
        self._stirred.clear()
        self._is_watcher_asleep = not lead.under_way
        if self.has_ended or self._stirred.wait(self._patience_s if lead.under_way else limit_s):
            return
        try:
            work = lead.under_way.pop() if begun == self.begun else None
        except IndexError:
            return
        if work is not None:
            take_over(work)
            self._baton.release()
