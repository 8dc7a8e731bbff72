"""Threads of objects that may be made before a fork and started after it."""

import threading
from collections.abc import Callable


class NoThreadError(RuntimeError):
    """The system has no thread left."""


class BackgroundThread:
    """A daemon thread that exists from its start on. `start` and `join` belong to its owner.

    Python 3.13.0 to 3.13.3 take a `Thread` that was made before a fork for one that was started, and refuse
    to start it in the child: so none is made before `start`.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Call it once. Raises NoThreadError."""
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            raise NoThreadError(str(error) or "out of memory") from None
        self._thread = thread

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end and return whether it did. One that never started has ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
