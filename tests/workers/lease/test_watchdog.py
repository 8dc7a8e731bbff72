"""The watchdog kills a worker that is stuck with open sockets, and no other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.waiting import wait_until
from workers.gateway_manager.lease import watchdog_process
from workers.gateway_manager.lease.watchdog_process import lease_clock

# A fake worker: sends its watchdog the given deadlines, then freezes.
FAKE_WORKER = """
import sys, time
from workers.gateway_manager.lease.watchdog import Watchdog
from workers.gateway_manager.lease.watchdog_process import lease_clock
with Watchdog(0.0) as watchdog:
    for line in sys.stdin:
        word = line.strip()
        if word == "end":
            break
        watchdog.set_deadline(None if word == "none" else lease_clock() + float(word))
        print(watchdog._process.pid, flush=True)
"""


class FakeWorker:
    """A process with a watchdog."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", FAKE_WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def set_deadline(self, word: str) -> int:
        """Make it send its watchdog a deadline; return the watchdog's process id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture
def fake_worker() -> Iterator[FakeWorker]:
    made = FakeWorker()
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
def test_a_worker_frozen_past_its_deadline_is_killed(fake_worker: FakeWorker) -> None:
    watchdog_pid = fake_worker.set_deadline("0.3")
    assert fake_worker.process.wait(5) == -signal.SIGKILL
    wait_until(lambda: not is_running(watchdog_pid))
    _, errors = fake_worker.process.communicate(timeout=5)
    assert '"logger": "millgate.watchdog"' in errors


@pytest.mark.req("LIFECYCLE-05")
def test_a_running_worker_or_one_without_lease_is_not_killed(fake_worker: FakeWorker) -> None:
    began = lease_clock()
    fake_worker.set_deadline("0.3")
    fake_worker.set_deadline("60")
    fake_worker.set_deadline("none")
    fake_worker.set_deadline("0.5")
    watchdog_pid = fake_worker.set_deadline("none")
    wait_until(lambda: lease_clock() > began + 1.0, what="all of these times to pass")
    assert fake_worker.process.poll() is None
    assert fake_worker.process.stdin is not None
    fake_worker.process.stdin.write("end\n")
    fake_worker.process.stdin.flush()
    assert fake_worker.process.wait(5) == 0
    wait_until(lambda: not is_running(watchdog_pid))


def test_a_watchdog_ends_with_its_worker_and_ignores_signals(fake_worker: FakeWorker) -> None:
    watchdog_pid = fake_worker.set_deadline("60")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(watchdog_pid, number)
    assert fake_worker.set_deadline("60") == watchdog_pid
    fake_worker.process.kill()
    wait_until(lambda: not is_running(watchdog_pid))


def test_a_dead_watchdog_is_replaced(fake_worker: FakeWorker) -> None:
    first = fake_worker.set_deadline("60")
    os.kill(first, signal.SIGKILL)
    # Its end of the pipe closes with it, slightly later.
    wait_until(lambda: fake_worker.set_deadline("60") != first)
    assert fake_worker.set_deadline("0.3") != first
    assert fake_worker.process.wait(5) == -signal.SIGKILL


def test_the_watchdog_imports_only_the_standard_library() -> None:
    path = watchdog_process.__file__
    result = subprocess.run(
        [sys.executable, "-I", "-S", path, "0"], stdin=subprocess.DEVNULL, timeout=10, check=False
    )
    assert result.returncode == 0
