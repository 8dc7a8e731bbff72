"""A bound on the requests of a kind that are served at once, where each takes a thread for seconds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class NoPlaceError(Exception):
    """All places are taken."""


class Places:
    """Of one process. Any thread may call; nobody waits."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Holds a place for the block. Raises NoPlaceError."""
        if not self._free.acquire(blocking=False):
            raise NoPlaceError
        try:
            yield
        finally:
            self._free.release()
