"""Starts the watchdog process and sends it deadlines: see watchdog_process.py."""

import logging
import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

from workers.gateway_manager.lease import watchdog_process

log = logging.getLogger("millgate.worker")

_END_LIMIT_S = 2.0
_BLOCKED_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class Watchdog:
    """Owns the watchdog process. For the lease's thread, except for entering and leaving."""

    def __init__(self, grace_s: float) -> None:
        """`grace_s`: how long after the deadline the watchdog kills the worker."""
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._last_line = watchdog_process.NOTHING_HELD
        self._warned_missing = False

    def set_deadline(self, deadline: float | None) -> None:
        """Sockets may be open until then, by `lease_clock`; None: none are."""
        line = watchdog_process.NOTHING_HELD if deadline is None else b"%.6f" % (deadline + self._grace_s)
        self._last_line = line
        try:
            self._send(line)
        except BlockingIOError:
            pass  # the watchdog is frozen and kills nothing: the worker closes its sockets by itself
        except BrokenPipeError:
            self._restart()

    def _restart(self) -> None:
        """If the system cannot start a process now, the next deadline tries again."""
        try:
            self._start()
        except OSError as error:
            if not self._warned_missing:
                log.error(  # noqa: TRY400 - the error says it all
                    "the watchdog process ended and cannot be restarted (%s): a frozen worker would not be"
                    " killed; trying again; check memory and the limit on processes, see"
                    " docs/runbook.md#watchdog-ended",
                    error.strerror,
                )
            self._warned_missing = True
        else:
            log.error(
                "the watchdog process ended; restarted it; check whether the system ran out of memory, see"
                " docs/runbook.md#watchdog-ended"
            )
            self._warned_missing = False

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
        command = [sys.executable, "-I", "-S", watchdog_process.__file__, str(os.getpid())]
        # It has to outlive the worker, whose end closes its standard input and so ends it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
        self._send(self._last_line)

    def _send(self, line: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            raise BrokenPipeError
        os.write(self._process.stdin.fileno(), line + b"\n")

    def _end(self) -> None:
        """Closes its standard input, which ends it."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_LIMIT_S)
        self._process = None
