"""The guard: kills a worker that is stuck with its sockets open, and nobody else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.waiting import wait_until
from workers.gateway_manager.lease import watchdog_process as guard
from workers.gateway_manager.lease.watchdog_process import lease_clock

# A stand-in for a worker: tells its guard what it is told to, and then stands still.
WARD = """
import sys, time
from workers.gateway_manager.lease.watchdog import Fence
from workers.gateway_manager.lease.watchdog_process import lease_clock
with Fence(0.0) as fence:
    for line in sys.stdin:
        word = line.strip()
        if word == "end":
            break
        fence.hold_until(None if word == "none" else lease_clock() + float(word))
        print(fence._guard.pid, flush=True)
"""


class Ward:
    """A process with a guard."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tell(self, word: str) -> int:
        """Has it tell its guard; returns the guard's process id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture
def ward() -> Iterator[Ward]:
    made = Ward()
    yield made
    made.process.kill()
    made.process.communicate(timeout=5)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.req("LIFECYCLE-05")
def test_a_worker_that_stands_still_past_its_time_is_killed(ward: Ward) -> None:
    guard_pid = ward.tell("0.3")
    assert ward.process.wait(5) == -signal.SIGKILL
    wait_until(lambda: not is_running(guard_pid))
    _, errors = ward.process.communicate(timeout=5)
    assert '"logger": "millgate.guard"' in errors


@pytest.mark.req("LIFECYCLE-05")
def test_a_worker_that_goes_on_or_holds_nothing_is_left_alone(ward: Ward) -> None:
    began = lease_clock()
    ward.tell("0.3")
    ward.tell("60")
    ward.tell("none")
    ward.tell("0.5")
    guard_pid = ward.tell("none")
    wait_until(lambda: lease_clock() > began + 1.0, what="all of these times to pass")
    assert ward.process.poll() is None
    assert ward.process.stdin is not None
    ward.process.stdin.write("end\n")
    ward.process.stdin.flush()
    assert ward.process.wait(5) == 0
    wait_until(lambda: not is_running(guard_pid))


def test_a_guard_ends_with_its_worker_and_not_by_a_signal(ward: Ward) -> None:
    guard_pid = ward.tell("60")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guard_pid, number)
    assert ward.tell("60") == guard_pid
    ward.process.kill()
    wait_until(lambda: not is_running(guard_pid))


def test_a_guard_that_is_gone_is_replaced(ward: Ward) -> None:
    first = ward.tell("60")
    os.kill(first, signal.SIGKILL)
    # Its end of the pipe closes with it, a moment later.
    wait_until(lambda: ward.tell("60") != first)
    assert ward.tell("0.3") != first
    assert ward.process.wait(5) == -signal.SIGKILL


def test_the_guard_stands_on_the_standard_library_alone() -> None:
    path = guard.__file__
    result = subprocess.run(
        [sys.executable, "-I", "-S", path, "0"], stdin=subprocess.DEVNULL, timeout=10, check=False
    )
    assert result.returncode == 0
