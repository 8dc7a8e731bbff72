"""Signals as a flag that the main loop checks: the handler only sets it."""

import contextlib
import os
import select
import signal
from types import FrameType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Records a request to stop; its wait ends early on such a request or when a child ends.

    Must be entered by the main thread, the only one that receives signals.
    """

    def __init__(self) -> None:
        self.requested = False
        self._reading_end, self._writing_end = os.pipe()
        os.set_blocking(self._reading_end, False)
        os.set_blocking(self._writing_end, False)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._on_stop)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._on_child)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._reading_end)
        os.close(self._writing_end)

    def wait(self, timeout_s: float) -> bool:
        """Wait until a stop is requested, a child ends, or the time is over; return whether to stop."""
        if not self.requested:
            select.select([self._reading_end], [], [], timeout_s)
            with contextlib.suppress(BlockingIOError):
                os.read(self._reading_end, 1024)
        return self.requested

    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self.requested

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self._wake()

    def _on_child(self, _number: int, _frame: FrameType | None) -> None:
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._writing_end, b".")
