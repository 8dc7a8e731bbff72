"""The worker's end of its guard: see watchdog_process.py beside this file."""

import logging
import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

from workers.gateway_manager.lease import watchdog_process as guard

log = logging.getLogger("millgate.worker")

_END_LIMIT_S = 2.0
_NOT_FOR_THE_GUARD = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class Fence:
    """Owns the guard process. For the lease's thread, but for entering and leaving."""

    def __init__(self, patience_s: float) -> None:
        """`patience_s`: how long after the worker's right to its sockets has ended the guard kills it."""
        self._patience_s = patience_s
        self._guard: subprocess.Popen[bytes] | None = None
        self._last_line = guard.NOTHING_HELD
        self._told_missing = False

    def hold_until(self, deadline: float | None) -> None:
        """Sockets may be open until then, by `lease_clock`; None: none are."""
        line = guard.NOTHING_HELD if deadline is None else b"%.6f" % (deadline + self._patience_s)
        self._last_line = line
        try:
            self._say(line)
        except BlockingIOError:
            pass  # the guard itself is frozen: nobody is killed then, and the worker keeps its word alone
        except BrokenPipeError:
            self._replace()

    def _replace(self) -> None:
        """Where the system has no room for a process now, the next deadline has another try."""
        try:
            self._start()
        except OSError as error:
            if not self._told_missing:
                log.error("the guard is gone, and no other can be started (%s)", error.strerror)  # noqa: TRY400
            self._told_missing = True
        else:
            log.error("the guard was gone; another one was started")
            self._told_missing = False

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _start(self) -> None:
        self._end()
        command = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid())]
        # Never the first to go: what ends the worker ends the guard's standard input, and so the guard.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_THE_GUARD)
        try:
            self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self._guard.stdin is not None:
            os.set_blocking(self._guard.stdin.fileno(), False)
        self._say(self._last_line)

    def _say(self, line: bytes) -> None:
        if self._guard is None or self._guard.stdin is None:
            raise BrokenPipeError
        os.write(self._guard.stdin.fileno(), line + b"\n")

    def _end(self) -> None:
        """Its standard input ends, and so does the guard."""
        if self._guard is None:
            return
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait(_END_LIMIT_S)
        self._guard = None
