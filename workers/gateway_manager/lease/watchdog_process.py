"""The watchdog: a small process beside each worker that kills it if it is frozen when its lease expires.

The kernel keeps the sockets of a frozen process open, so a gateway would see two sessions after a take-over.
Only the end of the process closes them, and only another process can end it. The watchdog knows one thing:
until when the worker's sockets may be open. The worker extends that deadline with each renewal.

It runs as a script on the standard library alone (`python -I -S`), so that it stays small.
"""

import json
import os
import select
import signal
import sys
import time
from datetime import UTC, datetime

NOTHING_HELD = b"-"
# Woken this late, the watchdog slept too, most likely with the whole machine: the worker gets a moment to
# close its sockets by itself.
LATE_S = 0.25
GRACE_S = 1.0


def lease_clock() -> float:
    """A monotonic clock that also runs while the machine is suspended, where the system has one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def watch(worker_pid: int) -> None:
    """Reads deadlines from standard input, one per line, until it ends; kills the worker at a deadline."""
    deadline: float | None = None
    while True:
        received = _wait(None if deadline is None else deadline - lease_clock())
        if received is None and deadline is not None and lease_clock() > deadline + LATE_S:
            received = _wait(GRACE_S)
        if received is None:
            _kill(worker_pid)
            return
        if not received:
            return
        last = received.split()[-1]
        deadline = None if last == NOTHING_HELD else float(last)


def _wait(timeout_s: float | None) -> bytes | None:
    """What the worker sent, empty if it has ended; None when the time is up."""
    readable, _, _ = select.select([0], [], [], None if timeout_s is None else max(0.0, timeout_s))
    return os.read(0, 65536) if readable else None


def _kill(worker_pid: int) -> None:
    # Only our parent, never a process that reused its id.
    if os.getppid() == worker_pid:
        message = (
            "killed the worker: frozen or stuck, it did not close its sessions before its lease ended; others"
            " take over; check this machine's load and memory, see docs/runbook.md#worker-ended"
        )
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = {"time": now, "level": "critical", "logger": "millgate.watchdog", "pid": worker_pid}
        line = {**about, "message": message}
        print(json.dumps(line), file=sys.stderr)
        os.kill(worker_pid, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
