"""The record of running children, by which they can be ended when their owner is gone.

A process id alone may by then be another program's, so each is kept with the process's start time. Beside
the record every child carries a mark in its environment: that finds a child that was started in the instant
before its owner died, and children of children.
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

MARK = "MILLGATE_STACK"
FORCE_LIMIT_S = 2.0
POLL_INTERVAL_S = 0.02


@dataclass(frozen=True)
class RunningChild:
    """A child in the record: `stop_signal` asks it politely, `stop_limit_s` is how long it may take."""

    name: str
    pid: int
    create_time: float
    stop_signal: int
    stop_limit_s: float


def describe(name: str, pid: int, stop_signal: int, stop_limit_s: float) -> RunningChild | None:
    """What to record about a child that was just started; None if it is gone already."""
    try:
        return RunningChild(name, pid, psutil.Process(pid).create_time(), stop_signal, stop_limit_s)
    except psutil.NoSuchProcess:
        return None


def write_record(path: Path, children: Iterable[RunningChild]) -> None:
    """Replace the record, in the order in which the children were started."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps([asdict(child) for child in children]))
    unfinished.rename(path)


def read_record(path: Path) -> list[RunningChild]:
    """The recorded children; empty when there is no record or it is not one.

    Raises StackError for a record that this user may not read.
    """
    try:
        return [RunningChild(**entry) for entry in json.loads(path.read_text())]
    except PermissionError as error:
        raise StackError(advice(error)) from None
    except (FileNotFoundError, ValueError, TypeError):
        return []


def end_leftovers(record: Path, mark: str) -> int:
    """End every recorded and every marked process, last started first; returns how many were still running.

    Only the holder of the data directory's lock may call this. Raises StackError for another user's.
    """
    ended = 0
    for child in reversed(read_record(record)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(child.pid)
            if process.create_time() == child.create_time:
                end_process(process, child.stop_signal, child.stop_limit_s)
                ended += 1
    for process in marked_processes(mark):
        with contextlib.suppress(psutil.NoSuchProcess):
            end_process(process, signal.SIGTERM, FORCE_LIMIT_S)
            ended += 1
    record.unlink(missing_ok=True)
    return ended


def marked_processes(mark: str) -> Iterator[psutil.Process]:
    """The processes whose environment carries this mark, except ourselves."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                yield process


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
    """What to do about a process that we may not end."""
    return StackError(
        f"Another user, for example root with sudo, started process {pid} here and left it running: "
        f"end it as that user, for example with `sudo kill {pid}`."
    )


def wait_until_gone(process: psutil.Process, limit_s: float) -> bool:
    """Wait for the end of a process that need not be our child; one that nobody reaps counts as gone."""
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
    """Whether this very process still runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end_group(leader_pid: int) -> None:
    """End by force whatever is left of the session of a child that led its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(leader_pid) != leader_pid:
            return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)
