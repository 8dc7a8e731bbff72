"""Records of running children, so that they can be killed when their owner is gone.

A process id may be reused, so a record also has the start time of the process. In addition, every child has
OWNER_ENV in its environment: this finds a child that was started just before its owner died, and children of
children.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from devstack.advice import advice
from devstack.errors import StackError

OWNER_ENV = "MILLGATE_STACK"
FORCE_LIMIT_S = 2.0
POLL_INTERVAL_S = 0.02
EXEC_LIMIT_S = 0.5
"""For processes that are starting a program: Linux shows no environment while they do."""


@dataclass(frozen=True)
class ProcessRecord:
    """A recorded child: `stop_signal` requests its stop, which may take `stop_limit_s`."""

    name: str
    pid: int
    create_time: float
    stop_signal: int
    stop_limit_s: float


def capture_record(name: str, pid: int, stop_signal: int, stop_limit_s: float) -> ProcessRecord | None:
    """Return the record of a child that was just started; None if it has already ended."""
    try:
        return ProcessRecord(name, pid, psutil.Process(pid).create_time(), stop_signal, stop_limit_s)
    except psutil.NoSuchProcess:
        return None


def write_record(path: Path, children: Iterable[ProcessRecord]) -> None:
    """Write the records in start order, replacing the file."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps([asdict(child) for child in children]))
    unfinished.rename(path)


def read_record(path: Path) -> list[ProcessRecord]:
    """Return the recorded children; none if the file is missing or malformed.

    Raises StackError for a record that this user may not read.
    """
    try:
        return [ProcessRecord(**entry) for entry in json.loads(path.read_text())]
    except PermissionError as error:
        raise StackError(advice(error)) from None
    except (FileNotFoundError, ValueError, TypeError):
        return []


def kill_orphans(record: Path, owner_tag: str) -> int:
    """Kill all recorded and tagged processes, last started first; return how many were still running.

    Only the holder of the data directory's lock may call this. Raises StackError for another user's.
    """
    ended = 0
    for child in reversed(read_record(record)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(child.pid)
            if process.create_time() == child.create_time:
                end_process(process, child.stop_signal, child.stop_limit_s)
                ended += 1
    for process in owned_processes(owner_tag):
        with contextlib.suppress(psutil.NoSuchProcess):
            end_process(process, signal.SIGTERM, FORCE_LIMIT_S)
            ended += 1
    record.unlink(missing_ok=True)
    return ended


def owned_processes(owner_tag: str) -> Iterator[psutil.Process]:
    """Return the processes whose environment has this tag, except the current one."""
    deadline = time.monotonic() + EXEC_LIMIT_S
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and _environment(process, deadline).get(OWNER_ENV) == owner_tag:
                yield process


def _environment(process: psutil.Process, deadline: float) -> dict[str, str]:
    # Kernel threads have no program; of all others an empty environment is rare.
    while not (environment := process.environ()) and process.exe() and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL_S)
    return environment


def end_process(process: psutil.Process, stop_signal: int, limit_s: float) -> None:
    """Ask a process to end, and end it and its group by force after the limit. Raises StackError."""
    try:
        process.send_signal(stop_signal)
    except psutil.AccessDenied:
        raise belongs_to_another_user(process.pid) from None
    wait_until_gone(process, limit_s)
    end_group(process.pid)
    wait_until_gone(process, FORCE_LIMIT_S)


def belongs_to_another_user(pid: int) -> StackError:
    """Return the error for a process of another user."""
    return StackError(
        f"Another user, for example root with sudo, started process {pid} here and left it running: "
        f"end it as that user, for example with `sudo kill {pid}`."
    )


def wait_until_gone(process: psutil.Process, limit_s: float) -> bool:
    """Wait until a process, which need not be a child, has ended; a zombie counts as ended."""
    deadline = time.monotonic() + limit_s
    while process_lives(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL_S)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs."""
    try:
        return process_lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def process_lives(process: psutil.Process) -> bool:
    """Whether this process still runs (and not another one with its id)."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end_group(leader_pid: int) -> None:
    """Kill what is left of the session that a child led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(leader_pid) != leader_pid:
            return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)
