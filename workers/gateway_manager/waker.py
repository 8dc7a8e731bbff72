"""Waking a thread that waits in poll(): one file descriptor where the system has eventfd, else two."""

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

_HAS_EVENTFD = sys.platform == "linux"
_LONGEST_POLL_S = 3600.0


class InterruptedWaitError(Exception):
    """The owner was told to stop or to look again while it waited."""


class Waker:
    """Owned by one thread, which waits on it; any thread may call `wake`, also after it was closed."""

    def __init__(self) -> None:
        if _HAS_EVENTFD:
            self._read_fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read_fd, self._write_fd = os.pipe()
            os.set_blocking(self._read_fd, False)
            os.set_blocking(self._write_fd, False)
        # Held while the descriptor is written or closed: a late wake-up must not reach its next user.
        self._lock = threading.Lock()
        self._closed = False

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._read_fd

    def wake(self) -> None:
        """Ends the wait that is under way, or the next one."""
        # A full pipe means that a wake-up waits to be seen already.
        with self._lock, suppress(BlockingIOError):
            if not self._closed:
                os.write(self._write_fd, (1).to_bytes(8, sys.byteorder))

    def clear(self) -> None:
        """Forgets the wake-ups so far. Only the owner calls it, before it looks at what they were about."""
        with suppress(BlockingIOError):
            os.read(self._read_fd, 8 if _HAS_EVENTFD else 4096)

    def wait(self, until: float, interrupted: Callable[[], bool]) -> None:
        """Waits until then (monotonic seconds). Raises InterruptedWaitError once `interrupted` is true."""
        poller = select.poll()
        poller.register(self._read_fd, select.POLLIN)
        while not interrupted():
            remaining_s = until - monotonic()
            if remaining_s <= 0:
                return
            if poller.poll(milliseconds(remaining_s)):
                self.clear()
        raise InterruptedWaitError

    def close(self) -> None:
        """Gives the descriptors back. Only the owner calls it."""
        with self._lock:
            self._closed = True
            os.close(self._read_fd)
            if self._write_fd != self._read_fd:
                os.close(self._write_fd)


def milliseconds(seconds: float) -> int:
    """A time-out for poll(), rounded up (waking a little early would spin) and at most an hour."""
    return int(min(max(seconds, 0.0), _LONGEST_POLL_S) * 1000) + 1
