"""Owns a directory and the processes that work in it. However the owner ends, they end with it."""

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from devstack.processes.child import ManagedProcess
from devstack.processes.directory_lock import DirectoryLock
from devstack.processes.orphan_reaper import END_LIMIT_S, OrphanReaper
from devstack.processes.orphans import ProcessRecord, capture_record, kill_orphans

RECORD = "children.json"
LOCK = "lock"


class ProcessOwner:
    """Enter it to lock the directory and kill the orphans of an earlier owner. Any thread may call.

    Every process that was registered (`add`, `hold`), or whose environment has OWNER_ENV set to `owner_tag`,
    ends when the block is left, or through the orphan reaper if this process is killed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.owner_tag = str(self.directory)
        self.orphans_killed = 0
        """The number of processes of an earlier owner that were still running."""
        self._record = self.directory / RECORD
        self._directory_lock = DirectoryLock(self.directory / LOCK)
        self._lock = threading.Lock()
        self._children: Sequence[ProcessRecord] = ()
        self._reaper: OrphanReaper | None = None

    def __enter__(self) -> Self:
        """Raises StackError while another owner, or its reaper, holds the directory."""
        self._directory_lock.acquire(wait_s=END_LIMIT_S)
        try:
            self.orphans_killed = kill_orphans(self._record, self.owner_tag)
            self._reaper = OrphanReaper(self._record, self.owner_tag, self._directory_lock.file)
        except BaseException:
            self._directory_lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            kill_orphans(self._record, self.owner_tag)
        finally:
            if self._reaper is not None:
                self._reaper.release()
            self._directory_lock.release()

    def add(self, process: ManagedProcess, pid: int, stop_limit_s: float | None = None) -> None:
        """Register a process that was just started; `stop_limit_s` overrides its own."""
        limit_s = process.stop_limit_s if stop_limit_s is None else stop_limit_s
        child = capture_record(process.name, pid, process.stop_signal, limit_s)
        with self._lock:
            self._hold([*self._children, *([child] if child else [])])

    def hold(self, children: Sequence[ProcessRecord]) -> None:
        """Replace the registered processes; they are in start order."""
        with self._lock:
            self._hold(children)

    def replace_dead_reaper(self) -> None:
        """Start another reaper if it was killed."""
        with self._lock:
            if self._reaper is not None and not self._reaper.is_alive():
                self._reaper.release()
                self._reaper = OrphanReaper(self._record, self.owner_tag, self._directory_lock.file)
                self._hold(self._children)

    def _hold(self, children: Sequence[ProcessRecord]) -> None:
        self._children = children
        if self._reaper is not None:
            self._reaper.hold(children)


class TemporaryOwner(ProcessOwner):
    """Owns a new directory `<kind>-…`, and removes it at the end.

    Entering also removes directories of this kind whose owners were killed.
    """

    def __enter__(self) -> Self:
        data = self.directory.parent
        data.mkdir(parents=True, exist_ok=True)
        # One process cleans up at a time, so that none takes a directory not locked yet for an abandoned one.
        one_at_a_time = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            remove_dead_runs(data, kind=self.directory.name.partition("-")[0])
            self.directory.mkdir()
            return super().__enter__()
        finally:
            os.close(one_at_a_time)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self.directory, ignore_errors=True)


def remove_dead_runs(data: Path, kind: str) -> None:
    """Remove the directories of this kind whose owners were killed."""
    for directory in data.glob(f"{kind}-*"):
        lock = DirectoryLock(directory / LOCK)
        # Another user's directories are left to that user.
        with contextlib.suppress(PermissionError):
            if directory.is_dir() and lock.try_acquire():
                with lock:
                    kill_orphans(directory / RECORD, str(directory))
                    shutil.rmtree(directory, ignore_errors=True)
