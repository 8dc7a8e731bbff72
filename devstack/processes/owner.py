"""The owner of a directory and of the processes that work in it: in whatever way the owner ends, they end."""

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from devstack.processes.child import Part
from devstack.processes.directory_lock import DirectoryLock
from devstack.processes.orphan_reaper import END_LIMIT_S, Leash
from devstack.processes.orphans import RunningChild, describe, end_leftovers

RECORD = "children.json"
LOCK = "lock"


class ProcessOwner:
    """Enter it to take the directory and end what an owner before left running. Any thread may call.

    A process that it is told of (`add`, `hold`), or whose environment has `mark` as MARK, ends with it: when
    it is left, or through the orphan reaper if we are killed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.mark = str(self.directory)
        self.leftovers = 0
        """How many processes of an owner before were still running."""
        self._record = self.directory / RECORD
        self._directory_lock = DirectoryLock(self.directory / LOCK)
        self._lock = threading.Lock()
        self._children: Sequence[RunningChild] = ()
        self._reaper: Leash | None = None

    def __enter__(self) -> Self:
        """Raises StackError if somebody else has the directory, also while their reaper is at work."""
        self._directory_lock.acquire(wait_s=END_LIMIT_S)
        try:
            self.leftovers = end_leftovers(self._record, self.mark)
            self._reaper = Leash(self._record, self.mark, self._directory_lock.file)
        except BaseException:
            self._directory_lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            end_leftovers(self._record, self.mark)
        finally:
            if self._reaper is not None:
                self._reaper.release()
            self._directory_lock.release()

    def add(self, part: Part, pid: int, stop_limit_s: float | None = None) -> None:
        """One more child that was just started; `stop_limit_s` is the part's own unless given."""
        limit_s = part.stop_limit_s if stop_limit_s is None else stop_limit_s
        child = describe(part.name, pid, part.stop_signal, limit_s)
        with self._lock:
            self._hold([*self._children, *([child] if child else [])])

    def hold(self, children: Sequence[RunningChild]) -> None:
        """These are all children, in the order in which they were started."""
        with self._lock:
            self._hold(children)

    def replace_dead_reaper(self) -> None:
        """Starts another reaper if somebody killed it."""
        with self._lock:
            if self._reaper is not None and not self._reaper.is_alive():
                self._reaper.release()
                self._reaper = Leash(self._record, self.mark, self._directory_lock.file)
                self._hold(self._children)

    def _hold(self, children: Sequence[RunningChild]) -> None:
        self._children = children
        if self._reaper is not None:
            self._reaper.hold(children)


class TemporaryOwner(ProcessOwner):
    """Of a new directory `<kind>-…`, removed at the end.

    Entering also removes the directories of the kind whose owners were killed.
    """

    def __enter__(self) -> Self:
        data = self.directory.parent
        data.mkdir(parents=True, exist_ok=True)
        # One at a time clears away, and none may take a directory for dead whose lock is not there yet.
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
    """Remove what owners of this kind of directory left that were killed."""
    for directory in data.glob(f"{kind}-*"):
        lock = DirectoryLock(directory / LOCK)
        # Those of another user are that user's to remove.
        with contextlib.suppress(PermissionError):
            if directory.is_dir() and lock.try_acquire():
                with lock:
                    end_leftovers(directory / RECORD, str(directory))
                    shutil.rmtree(directory, ignore_errors=True)
