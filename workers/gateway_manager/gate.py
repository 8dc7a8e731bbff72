"""A bound on the handshakes under way: a thousand gateways after a restart are a ramp, not a stampede."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from workers.gateway_manager.waker import InterruptedWaitError, Waker


class HandshakeGate:
    """First come, first served. Any thread may call; each waits on its own waker."""

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._queue: deque[_Ticket] = deque()

    @contextmanager
    def place(self, waker: Waker, interrupted: Callable[[], bool]) -> Iterator[None]:
        """Waits for a place and holds it for the block. Raises InterruptedWaitError while waiting."""
        self._enter(waker, interrupted)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, waker: Waker, interrupted: Callable[[], bool]) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            ticket = _Ticket(waker)
            self._queue.append(ticket)
        try:
            waker.wait(inf, lambda: ticket.granted or interrupted())
        except InterruptedWaitError:
            with self._lock:
                if not ticket.granted:
                    self._queue.remove(ticket)
                    raise
            if interrupted():
                self._leave()
                raise

    def _leave(self) -> None:
        with self._lock:
            if not self._queue:
                self._free += 1
                return
            following = self._queue.popleft()
            following.granted = True
        following.waker.wake()


class _Ticket:
    """A place in the queue."""

    __slots__ = ("granted", "waker")

    def __init__(self, waker: Waker) -> None:
        self.waker = waker
        self.granted = False
