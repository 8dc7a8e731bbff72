"""The database of `make run`: backed up while it is stopped, restored elsewhere, held, taken over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devstack.running import READY_LIMIT_S, Millgate
from tests.support.waiting import wait_until


def command(millgate: Millgate, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One of the Makefile's commands, on a data directory."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=millgate.folder,
        env={"PATH": os.environ["PATH"], "MILLGATE_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_said(millgate: Millgate, words: str) -> None:
    """Waits until `make run` has printed this."""
    wait_until(lambda: words in millgate.output(), READY_LIMIT_S, words)


@pytest.mark.parametrize("is_running", [False, True])
def test_a_restored_copy_runs_held_until_it_is_taken_over(millgate: Millgate, is_running: bool) -> None:
    """Taken over while `make run` runs, or before it is started."""
    file, other = millgate.folder / "millgate.dump", millgate.folder / "other"
    process = millgate.start_until_ready()
    process.terminate()
    assert process.wait(12) == 0
    done = command(millgate, millgate.data, "devstack.backup", "make", str(file))
    assert done.returncode == 0, done.stderr
    # `make run` itself is stopped again.
    assert command(millgate, millgate.data, "devstack", "tokens", "list").returncode == 1

    assert command(millgate, other, "devstack", "take-over").stderr.startswith("No database: ")
    done = command(millgate, other, "devstack.backup", "restore", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert command(millgate, other, "devstack.backup", "restore", str(file)).stderr.startswith("Nothing was")
    millgate.data = other
    if is_running:
        millgate.start()
        is_said(millgate, "but its database is held")
        assert not millgate.is_ready()
    done = command(millgate, other, "devstack", "take-over")
    assert (done.returncode, "Taken over" in done.stdout) == (0, True), done.stderr
    if is_running:
        wait_until(millgate.is_ready, READY_LIMIT_S, "the worker to register")
    else:
        millgate.start_until_ready()
    assert "not held" in command(millgate, other, "devstack", "take-over").stdout
