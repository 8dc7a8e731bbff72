"""A small process beside each worker: ends the worker when it is frozen while its lease runs out.

The sockets of a frozen process stay open in the kernel, so that a gateway would see two sessions after the
take-over. Only its end closes them, and somebody else has to bring that about. The guard knows nothing but a
time until when the worker's sockets may be open; the worker moves it on with each renewal.

Runs as a script on the standard library alone (`python -I -S`), so that it stays small.
"""

import json
import os
import select
import signal
import sys
import time
from datetime import UTC, datetime

NOTHING_HELD = b"-"
# Woken this late, the guard slept too, and with it most likely the whole machine: the worker gets a moment to
# see to its sockets itself.
LATE_S = 0.25
GRACE_S = 1.0


def lease_clock() -> float:
    """Seconds that also pass while this machine is suspended, where the system can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def watch(worker_pid: int) -> None:
    """Reads deadlines from standard input, a line each, until it ends; or kills the worker."""
    deadline: float | None = None
    while True:
        told = _wait(None if deadline is None else deadline - lease_clock())
        if told is None and deadline is not None and lease_clock() > deadline + LATE_S:
            told = _wait(GRACE_S)
        if told is None:
            _kill(worker_pid)
            return
        if not told:
            return
        last = told.split()[-1]
        deadline = None if last == NOTHING_HELD else float(last)


def _wait(timeout_s: float | None) -> bytes | None:
    """What was said, empty if the worker has ended; None when the time is up."""
    readable, _, _ = select.select([0], [], [], None if timeout_s is None else max(0.0, timeout_s))
    return os.read(0, 65536) if readable else None


def _kill(worker_pid: int) -> None:
    # Our parent, and nobody who was given its number after its end.
    if os.getppid() == worker_pid:
        message = "the worker did not close its sessions in time, it is frozen or stuck: killed"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = {"time": now, "level": "critical", "logger": "millgate.guard", "pid": worker_pid}
        line = {**about, "message": message}
        print(json.dumps(line), file=sys.stderr)
        os.kill(worker_pid, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
