"""The owner of a directory ends its processes, and cleans up after owners that were killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from devstack.errors import StackError
from devstack.processes.child import Child
from devstack.processes.directory_lock import DirectoryLock
from devstack.processes.orphans import OWNER_ENV, is_alive
from devstack.processes.owner import ProcessOwner, TemporaryOwner
from devstack.project import PROJECT
from tests.support.waiting import wait_until

PATIENT = (sys.executable, "-c", "import signal; signal.pause()")
KILLED_OWNER = (
    "import sys, signal; from pathlib import Path\n"
    "from devstack.processes.child import Child\n"
    "from devstack.processes.owner import TemporaryOwner\n"
    "with TemporaryOwner(Path(sys.argv[1])) as owner:\n"
    "    child = Child('patient', tuple(sys.argv[3:]), {}, Path(sys.argv[2]))\n"
    "    child.start(on_spawn=lambda pid: owner.add(child, pid))\n"
    "    print(child.process.pid, flush=True)\n"
    "    signal.pause()\n"
)


@pytest.mark.parametrize("is_registered", [True, False], ids=["registered", "tagged"])
def test_processes_of_a_directory_end_with_its_owner(tmp_path: Path, *, is_registered: bool) -> None:
    directory = tmp_path / "kind-1"
    with TemporaryOwner(directory) as owner:
        child = Child(
            "patient", PATIENT, {} if is_registered else {OWNER_ENV: owner.owner_tag}, tmp_path / "log"
        )
        child.start(on_spawn=lambda pid: owner.add(child, pid) if is_registered else None)
        assert child.exit_code() is None
    assert child.exit_code() is not None
    assert not directory.exists()


def test_the_next_owner_of_a_kind_cleans_up_after_killed_ones(tmp_path: Path) -> None:
    killed = tmp_path / "data" / "kind-1"
    command = (sys.executable, "-c", KILLED_OWNER, str(killed), str(tmp_path / "log"), *PATIENT)
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    other = tmp_path / "data" / "other-1"
    other.mkdir()
    process.kill()
    process.communicate()
    wait_until(lambda: not is_alive(pid), timeout_s=10, what="the child's end")
    # The reaper is the last holder of the lock.
    wait_until(lambda: not is_locked(killed), timeout_s=10, what="the reaper's end")
    with TemporaryOwner(tmp_path / "data" / "kind-2"), TemporaryOwner(tmp_path / "data" / "kind-3"):
        assert sorted(path.name for path in killed.parent.iterdir()) == ["kind-2", "kind-3", "other-1"]


def is_locked(directory: Path) -> bool:
    """Whether an owner or its reaper holds the lock."""
    lock = DirectoryLock(directory / "lock")
    with lock:
        return not lock.try_acquire()


def test_an_owner_that_cannot_start_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(FileNotFoundError), ProcessOwner(tmp_path / "data"):
        pass
    monkeypatch.undo()
    with ProcessOwner(tmp_path / "data") as owner:
        with pytest.raises(StackError, match="already running"), ProcessOwner(tmp_path / "data"):
            pass
        assert owner.orphans_killed == 0
