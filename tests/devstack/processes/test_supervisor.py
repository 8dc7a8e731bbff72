"""Supervision of small real processes: order, restart, stop, and remains after kill -9."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack.errors import StackError, StopAskedError
from devstack.processes.child import Child
from devstack.processes.directory_lock import DirectoryLock
from devstack.processes.log_files import bound_log, last_lines, open_log
from devstack.processes.orphans import (
    OWNER_ENV,
    capture_record,
    is_alive,
    kill_orphans,
    owned_processes,
    write_record,
)
from devstack.processes.signals import StopRequest
from devstack.processes.supervisor import STOP_TOTAL_S, Supervisor
from devstack.project import PROJECT
from tests.support.waiting import wait_until

PATIENT = "import signal, sys; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal\nfor n in (signal.SIGTERM, signal.SIGINT): signal.signal(n, signal.SIG_IGN)\n"
    "print('up', flush=True)\nwhile True: signal.pause()"
)
PARENT = (
    "import subprocess, sys, signal\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
    "print(child.pid, flush=True)\nsignal.pause()"
)
NOTES_ITS_END = (
    "import signal, sys, pathlib\n"
    "def end(*_):\n    pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2] + ' ')\n    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\nwhile True: signal.pause()"
)
OWNER = (
    "import sys, signal; from pathlib import Path\n"
    "from devstack.processes.supervisor import Supervisor\n"
    "from devstack.processes.signals import StopRequest\n"
    "with StopRequest() as stopping, Supervisor(Path(sys.argv[1]), print, stopping) as supervisor:\n"
    "    for number in range(2):\n"
    "        command = (sys.executable, '-c', sys.argv[2])\n"
    "        child = supervisor.child(f'c{number}', command, {}, stop_limit_s=0.5)\n"
    "        supervisor.start(child); print(child.process.pid, flush=True)\n"
    "    print('ready', flush=True)\n"
    "    while not stopping.wait(0.5): supervisor.tick()\n"
)


class Stage:
    """A supervisor in its own directory, with its messages."""

    def __init__(self, directory: Path, stopping: StopRequest, stop_total_s: float = STOP_TOTAL_S) -> None:
        self.said: list[str] = []
        self.stopping = stopping
        self.supervisor = Supervisor(directory, self.said.append, stopping, stop_total_s)
        # The test run's shared server may be another child of this process.
        self._others = {child.pid for child in psutil.Process().children()}

    def start(self, name: str, program: str, *arguments: str) -> Child:
        """Start a Python program and wait for its first line."""
        child = self.supervisor.child(name, (sys.executable, "-c", program, *arguments), {})
        self.supervisor.start(child)
        wait_until(lambda: last_lines(child.log_path), what=f"the first line of {name}")
        return child

    def children(self) -> list[psutil.Process]:
        """Return the processes that the supervisor started in this process."""
        return [child for child in psutil.Process().children() if child.pid not in self._others]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with StopRequest() as stopping:
        yield Stage(tmp_path / "stack", stopping)


def pid_of(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


def test_processes_are_stopped_in_reverse_order_and_nothing_is_left(stage: Stage, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    with stage.supervisor:
        children = [
            stage.start(name, NOTES_ITS_END, str(ends), name) for name in ("first", "second", "third")
        ]
        pids = [pid_of(child) for child in children]
    assert ends.read_text().split() == ["third", "second", "first"]
    assert not any(is_alive(pid) for pid in pids)
    assert stage.children() == []
    assert not (stage.supervisor.data_dir / "children.json").exists()
    assert DirectoryLock(stage.supervisor.data_dir / "lock").try_acquire()


def test_three_processes_that_do_not_stop_are_killed_in_time(tmp_path: Path) -> None:
    with StopRequest() as stopping:
        stage = Stage(tmp_path / "stack", stopping, stop_total_s=1.0)
        with stage.supervisor:
            pids = [pid_of(stage.start(name, STUBBORN)) for name in ("a", "b", "c")]
            began = time.monotonic()
        assert 0.9 < time.monotonic() - began < 2.5
    assert not any(is_alive(pid) for pid in pids)


def test_descendants_of_a_process_end_with_it(stage: Stage) -> None:
    with stage.supervisor:
        parent = stage.start("parent", PARENT)
        grandchild = int(last_lines(parent.log_path)[0])
        assert is_alive(grandchild)
    wait_until(lambda: not is_alive(grandchild), what="the grandchild's end")


def test_a_dead_process_is_restarted_after_its_delay_with_a_message(stage: Stage) -> None:
    with stage.supervisor:
        child = stage.start("worker", PATIENT)
        first = pid_of(child)
        os.kill(first, signal.SIGKILL)
        died = time.monotonic()

        def runs_again() -> bool:
            stage.supervisor.tick()
            return child.exit_code() is None and pid_of(child) != first

        wait_until(runs_again, timeout_s=10, what="the restart")
        assert 0.9 < time.monotonic() - died < 3
    assert "worker ended unexpectedly (signal 9); starting it again in 1 s" in stage.said[0]
    assert stage.said[1] == "worker was started again."


def test_a_process_that_cannot_start_shows_its_last_output(stage: Stage) -> None:
    program = "import sys; print('older'); sys.exit('ENCRYPTION_KEY is not set')"
    with stage.supervisor:
        child = stage.supervisor.child("api", (sys.executable, "-c", program), {})
        stage.supervisor.start(child)
        with pytest.raises(StackError) as caught:
            stage.supervisor.wait_until(lambda: False, 10, "nothing")
    assert str(caught.value).startswith("api could not start (exit code 1):\n")
    assert "ENCRYPTION_KEY is not set" in str(caught.value)


def test_a_program_run_once_must_succeed(stage: Stage) -> None:
    with stage.supervisor:
        good = stage.supervisor.child("good", (sys.executable, "-c", "print('done')"), {})
        stage.supervisor.run_once(good, timeout_s=20)
        bad = stage.supervisor.child("bad", (sys.executable, "-c", "raise SystemExit('no such table')"), {})
        with pytest.raises(StackError, match="no such table"):
            stage.supervisor.run_once(bad, timeout_s=20)
        slow = stage.supervisor.child("slow", (sys.executable, "-c", PATIENT), {})
        with pytest.raises(StackError, match="Waiting for slow to end timed out"):
            stage.supervisor.run_once(slow, timeout_s=0.2)


def test_a_signal_ends_every_wait_immediately(stage: Stage) -> None:
    with stage.supervisor:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        with pytest.raises(StopAskedError):
            stage.supervisor.wait_until(lambda: False, 30, "a signal")
        assert time.monotonic() - began < 2
        assert stage.stopping.wait(30)


def test_a_second_owner_of_a_directory_gets_the_pid_of_the_first(stage: Stage, tmp_path: Path) -> None:
    with stage.supervisor, StopRequest() as stopping:
        second = Supervisor(stage.supervisor.data_dir, print, stopping)
        with pytest.raises(StackError) as caught, second:
            pass
    assert str(caught.value) == (
        f"Millgate is already running on {stage.supervisor.data_dir} (process {os.getpid()})."
    )


def test_after_kill_9_of_the_owner_the_reaper_ends_the_children(tmp_path: Path) -> None:
    owner, children = start_owner(tmp_path, PATIENT)
    reaper = reaper_of(owner)
    owner.kill()
    owner.communicate()
    wait_until(lambda: not any(is_alive(pid) for pid in children), timeout_s=10, what="the children's end")
    wait_until(lambda: not is_alive(reaper), timeout_s=10, what="the reaper's end")
    assert DirectoryLock(tmp_path / "lock").try_acquire()


def test_the_next_start_waits_for_the_reaper(tmp_path: Path) -> None:
    owner, children = start_owner(tmp_path, STUBBORN)
    owner.kill()
    owner.communicate()
    with StopRequest() as stopping, Supervisor(tmp_path, print, stopping):
        assert not any(is_alive(pid) for pid in children)


def test_if_the_reaper_was_killed_too_the_next_start_cleans_up(tmp_path: Path) -> None:
    owner, children = start_owner(tmp_path, PATIENT)
    reaper = reaper_of(owner)
    owner.send_signal(signal.SIGSTOP)
    os.kill(reaper, signal.SIGKILL)
    owner.kill()
    owner.communicate()
    assert all(is_alive(pid) for pid in children)
    said: list[str] = []
    with StopRequest() as stopping, Supervisor(tmp_path, said.append, stopping):
        assert not any(is_alive(pid) for pid in children)
    assert said == ["Stopped processes that an earlier run had left running."]


def test_a_killed_reaper_is_replaced(stage: Stage) -> None:
    with stage.supervisor:
        child = stage.start("patient", PATIENT)
        reapers = {process.pid for process in stage.children()} - {pid_of(child)}
        for reaper in reapers:
            os.kill(reaper, signal.SIGKILL)

        def replaced() -> bool:
            stage.supervisor.tick()
            now = {each.pid for each in stage.children() if is_alive(each.pid)} - {pid_of(child)}
            return len(now) == 1 and not now & reapers

        wait_until(replaced, what="a new reaper")


def test_a_recorded_pid_reused_by_another_program_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "children.json"
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        described = capture_record("worker", bystander.pid, signal.SIGTERM, 1.0)
        assert described is not None
        write_record(record, [type(described)(**{**vars(described), "create_time": 1.0})])
        assert kill_orphans(record, str(tmp_path)) == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_an_unrecorded_child_is_found_by_its_owner_tag(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"],
        env={OWNER_ENV: str(tmp_path)},
        start_new_session=True,
    )
    try:
        assert kill_orphans(tmp_path / "children.json", str(tmp_path)) == 1
        assert child.wait(5) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()


def test_a_process_without_an_environment_does_not_hide_others(tmp_path: Path) -> None:
    """Linux shows none while a process starts its program, so such a process is asked again for a while."""
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    bare = subprocess.Popen(command, env={}, start_new_session=True)
    tagged = subprocess.Popen(command, env={OWNER_ENV: str(tmp_path)}, start_new_session=True)
    try:
        assert [process.pid for process in owned_processes(str(tmp_path))] == [tagged.pid]
    finally:
        for child in (bare, tagged):
            child.kill()
            child.wait()


AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from devstack.errors import StackError
from devstack.processes.owner import remove_dead_runs
from devstack.processes.orphans import kill_orphans
from devstack.postgres.cluster import end_server_of

what, path = sys.argv[1], Path()
# After chdir, access to the folders above is not needed.
os.chdir(sys.argv[2])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    if what == "orphans":
        kill_orphans(path / "children.json", "another tag")
    elif what == "server":
        end_server_of(path)
    else:
        remove_dead_runs(path, kind="chaos")
except StackError as error:
    print(error)
"""


@pytest.fixture
def of_root(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run root's process named postgres in a directory that others may read and write."""
    if os.geteuid() != 0:
        pytest.skip("only root can leave something to another user")
    program = tmp_path / "postgres"
    shutil.copy(shutil.which("sleep") or "", program)
    process = subprocess.Popen([program, "60"], cwd=tmp_path)
    tmp_path.chmod(0o777)
    yield process
    process.kill()
    process.wait()


def as_another_user(what: str, path: Path) -> str:
    """Return its output, one line and no traceback."""
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY_ELSE, what, str(path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout.count("\n") <= 1
    return done.stdout.strip()


def test_an_orphan_of_another_user_is_reported_in_one_line(
    tmp_path: Path, of_root: subprocess.Popen[bytes]
) -> None:
    described = capture_record("worker", of_root.pid, signal.SIGTERM, 1.0)
    assert described is not None
    record = tmp_path / "children.json"
    write_record(record, [described])
    assert as_another_user("orphans", tmp_path).startswith(f"{record.name} belongs to root, and you are ")
    # In the format of an earlier version.
    record.chmod(0o644)
    said = as_another_user("orphans", tmp_path)
    assert f"process {of_root.pid}" in said
    assert "nother user" in said
    assert of_root.poll() is None


def test_a_running_server_of_another_user_is_detected(
    tmp_path: Path, of_root: subprocess.Popen[bytes]
) -> None:
    status_file = tmp_path / "postmaster.pid"
    started_at = int(psutil.Process(of_root.pid).create_time())
    status_file.write_text(f"{of_root.pid}\n{tmp_path}\n{started_at}\n")
    assert f"process {of_root.pid}" in as_another_user("server", tmp_path)
    status_file.chmod(0o600)
    assert as_another_user("server", tmp_path).startswith(f"{status_file.name} belongs to root, and you are ")
    assert status_file.exists()
    status_file.chmod(0o644)
    # A process id that was reused by another user's server.
    status_file.write_text(f"{of_root.pid}\n{tmp_path}\n{started_at - 3600}\n")
    assert as_another_user("server", tmp_path) == ""
    assert not status_file.exists()


@pytest.mark.usefixtures("of_root")
def test_directories_of_another_users_chaos_run_are_kept(tmp_path: Path) -> None:
    run = tmp_path / "chaos-1"
    run.mkdir(mode=0o755)
    os.close(os.open(run / "lock", os.O_CREAT | os.O_WRONLY, 0o600))
    assert as_another_user("runs", tmp_path) == ""
    assert run.exists()


def test_a_child_with_pipes_talks_to_its_owner(stage: Stage) -> None:
    program = (
        "import sys; print('{\"ready\": true}', flush=True)\n"
        "for line in sys.stdin: print(line.upper(), end='', flush=True)"
    )
    with stage.supervisor:
        child = stage.supervisor.child("simulator", (sys.executable, "-c", program), {}, pipe_stdio=True)
        stage.supervisor.start(child)
        process = child.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b'{"ready": true}\n'
        process.stdin.write(b"drop\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"DROP\n"


def test_a_log_that_is_too_big_is_moved_while_its_writer_runs(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        bound_log(log, max_bytes=99)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "api.log.1").read_bytes() == b"x" * 100


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_logs_are_readable_by_the_owner_alone_with_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        log = tmp_path / "log" / "api.log"
        os.close(open_log(log))
        assert modes(log.parent, log) == [0o700, 0o600]
        # Remains of an earlier version.
        log.write_bytes(b"x" * 100)
        log.chmod(0o644)
        moved = log.with_name("api.log.1")
        moved.write_bytes(b"older")
        moved.chmod(0o644)
        os.close(open_log(log))
        assert modes(log, moved) == [0o600, 0o600]
        moved.chmod(0o644)
        bound_log(log, max_bytes=99)
        assert modes(moved) == [0o600]
        moved.unlink()
        log.write_bytes(b"x" * 100)
        bound_log(log, max_bytes=99)
        assert modes(moved) == [0o600]
        assert moved.read_bytes() == b"x" * 100
    finally:
        os.umask(before)


def modes(*paths: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in paths]


def start_owner(directory: Path, program: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a supervisor with two children in its own process; return it and their process ids."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory), program], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    children = [int(owner.stdout.readline()) for _ in range(2)]
    assert owner.stdout.readline() == "ready\n"
    logs = [directory / "log" / f"c{number}.log" for number in range(2)]
    wait_until(lambda: all(last_lines(log) for log in logs), what="the children's start")
    return owner, children


def reaper_of(owner: subprocess.Popen[str]) -> int:
    """Return the process id of an owner's reaper."""
    (reaper,) = [
        each
        for each in psutil.Process(owner.pid).children()
        if "devstack.processes.orphan_reaper" in each.cmdline()
    ]
    return reaper.pid
