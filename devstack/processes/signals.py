"""Signals as a fact that the main loop looks at: a handler only records."""

import contextlib
import os
import select
import signal
from types import FrameType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether somebody asked us to stop; and a wait that ends early when they do, or when a child ends.

    To be entered by the main thread, which alone can receive signals.
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
        """Wait until asked to stop, until a child ended, or for a time; returns whether to stop."""
        if not self.requested:
            select.select([self._reading_end], [], [], timeout_s)
            with contextlib.suppress(BlockingIOError):
                os.read(self._reading_end, 1024)
        return self.requested

    def is_requested(self) -> bool:
        """Whether somebody asked us to stop."""
        return self.requested

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self._wake()

    def _on_child(self, _number: int, _frame: FrameType | None) -> None:
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._writing_end, b".")
