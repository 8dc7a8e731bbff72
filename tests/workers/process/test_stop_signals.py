"""SIGTERM and SIGINT stop a worker at any point of its main thread."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.project import PROJECT
from tests.support.inherited import inherited
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import worker_environment
from tests.workers.conftest import SpawnWorker

# A worker that gets a signal while its main thread holds a lock, as it does briefly in each wait.
INTERRUPTED = """
import os, signal, sys
from workers import __main__ as program

class Interrupted(program.Worker):
    def run(self):
        for event in (self._stopping, self._manager._woken):
            with event._cond:
                os.kill(os.getpid(), signal.{signal})
        super().run()

program.Worker = Interrupted
sys.exit(program.main())
"""


@pytest.mark.req("LIFECYCLE-05")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_may_come_while_the_main_thread_holds_a_lock(
    testbed: WorkerTestBed, tmp_path: Path, number: signal.Signals
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(signal=number.name)],
        cwd=tmp_path,
        env={
            **inherited(),
            "PYTHONPATH": str(PROJECT),
            **worker_environment(testbed.database_url, {}),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "worker stopped" in ended.stderr


@pytest.mark.req("LIFECYCLE-05")
def test_many_signals_end_a_worker_once(testbed: WorkerTestBed, spawn_worker: SpawnWorker) -> None:
    worker = spawn_worker()
    wait_until(lambda: testbed.rows("SELECT FROM workers AS w WHERE worker_is_live(w)"), 15, "the worker")
    while "worker stopped" not in worker.log:
        assert worker.process.poll() is None, worker.log
        worker.send(signal.SIGTERM)
    assert worker.process.wait(10) == 0, worker.log
    assert worker.log.count("worker stopped") == 1
