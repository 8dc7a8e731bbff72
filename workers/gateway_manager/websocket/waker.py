"""Wakes a thread that waits: for a time, for another thread, or for its socket.

A thread in poll() is woken through a descriptor. One for each gateway would double the files that a worker
needs, so `WakerFactory` has sixteen wakers share one: a thread that is woken for a neighbor looks at its
socket alone until the neighbor has seen it. That is rare: sessions are woken when they are changed or
stopped, not when frames arrive.
"""

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

WAKERS_PER_DESCRIPTOR = 16

_HAS_EVENTFD = sys.platform == "linux"
_MAX_WAIT_S = 3600.0
# How long a neighbor's wake-up is overlooked at a time: shorter than a thread may take to react to its own.
_SHARED_WAKE_S = 0.005


class InterruptedWaitError(Exception):
    """The owner was asked to stop or to check its state while it waited."""


class WakeDescriptor:
    """Readable while a wake-up of one of its wakers is pending: an eventfd, or a pipe elsewhere."""

    def __init__(self) -> None:
        """Raises OSError when there are no descriptors left."""
        if _HAS_EVENTFD:
            self._read_fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read_fd, self._write_fd = os.pipe()
        self.lock = threading.Lock()
        """Held for the methods below, and for a waker's own state of polling."""
        self.users = 0
        self._raised = 0

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._read_fd

    def signal(self) -> None:
        """Makes it readable until each signal is cleared."""
        self._raised += 1
        if self._raised == 1:
            os.write(self._write_fd, (1).to_bytes(8, sys.byteorder))

    def clear(self) -> None:
        """Takes one signal back."""
        self._raised -= 1
        if not self._raised:
            os.read(self._read_fd, 8)

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._read_fd)
        if self._write_fd != self._read_fd:
            os.close(self._write_fd)


class Waker:
    """Owned by one thread, which waits on it; any thread may call `wake`, even after it was closed."""

    def __init__(self, descriptor: WakeDescriptor, on_close: Callable[[WakeDescriptor], None]) -> None:
        """`on_close` is called when the descriptor is no longer used by this waker."""
        self._descriptor = descriptor
        self._on_close = on_close
        # Released by a wake-up that has not been seen. A lock is the cheapest binary semaphore there is.
        self._woken = threading.Lock()
        self._woken.acquire()
        self._is_polling = False
        self._has_signalled = False

    def fileno(self) -> int:
        """What to poll beside a socket, in `poll`."""
        return self._descriptor.fileno()

    def wake(self) -> None:
        """Ends the wait that is under way, or the next one."""
        with suppress(RuntimeError):  # released before, and not seen yet
            self._woken.release()
        with self._descriptor.lock:
            if self._is_polling and not self._has_signalled:
                self._has_signalled = True
                self._descriptor.signal()

    def wait(self, until: float, interrupted: Callable[[], bool]) -> None:
        """Waits until then (monotonic seconds). Raises InterruptedWaitError once `interrupted` is true."""
        while not interrupted():
            remaining_s = until - monotonic()
            if remaining_s <= 0:
                return
            self._woken.acquire(timeout=min(remaining_s, _MAX_WAIT_S))
        raise InterruptedWaitError

    def poll(self, poller: select.poll, until: float) -> bool:
        """Waits for a wake-up, or for what else the poller looks for, until then: whether that is ready.

        The poller has `fileno()` registered for reading. Returns after a wake-up with False, and may return
        early: the owner looks whether it is interrupted, and calls again.
        """
        with self._descriptor.lock:
            self._is_polling = True
        try:
            if self._woken.acquire(blocking=False):
                return False
            ready = poller.poll(_milliseconds(until - monotonic()))
        finally:
            self._stop_polling()
        if any(descriptor != self.fileno() for descriptor, _ in ready):
            return True
        if not ready or self._woken.acquire(blocking=False):
            return False
        return self._poll_alone(poller, min(until, monotonic() + _SHARED_WAKE_S))

    def close(self) -> None:
        """Gives up the share of the descriptor. Only the owner calls it."""
        self._on_close(self._descriptor)

    def _poll_alone(self, poller: select.poll, until: float) -> bool:
        """Without the descriptor, which is a neighbor's now."""
        poller.unregister(self.fileno())
        try:
            return bool(poller.poll(_milliseconds(until - monotonic())))
        finally:
            poller.register(self.fileno(), select.POLLIN)

    def _stop_polling(self) -> None:
        with self._descriptor.lock:
            self._is_polling = False
            if self._has_signalled:
                self._has_signalled = False
                self._descriptor.clear()


class WakerFactory:
    """Makes wakers, and has them share descriptors. Any thread may call."""

    def __init__(self, wakers_per_descriptor: int = WAKERS_PER_DESCRIPTOR) -> None:
        self._most = wakers_per_descriptor
        self._lock = threading.Lock()
        self._with_room: dict[WakeDescriptor, None] = {}

    def make(self) -> Waker:
        """A waker for one thread. Raises OSError when there are no descriptors left."""
        with self._lock:
            descriptor = next(iter(self._with_room), None) or WakeDescriptor()
            descriptor.users += 1
            if descriptor.users < self._most:
                self._with_room[descriptor] = None
            else:
                self._with_room.pop(descriptor, None)
        return Waker(descriptor, self._release)

    def _release(self, descriptor: WakeDescriptor) -> None:
        with self._lock:
            descriptor.users -= 1
            if descriptor.users:
                self._with_room[descriptor] = None
            else:
                self._with_room.pop(descriptor, None)
                descriptor.close()


def _milliseconds(seconds: float) -> int:
    """A time-out for poll(), rounded up (waking a little early would spin) and at most an hour."""
    return int(min(max(seconds, 0.0), _MAX_WAIT_S) * 1000) + 1
