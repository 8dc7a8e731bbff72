"""One owner at a time for a data directory."""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from devstack.advice import advice
from devstack.errors import StackError
from devstack.processes.orphans import is_alive

POLL_INTERVAL_S = 0.05


class DirectoryLock:
    """A lock on a directory, released by the system when its holders end in any way.

    The lock file carries its owner's process id. Where the owner is dead but the lock is not free yet, its
    reaper is still killing orphans, and `acquire` waits for it.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the lock file; its folder is made when needed."""
        self._path = path
        self._file: int | None = None

    def acquire(self, wait_s: float) -> None:
        """Take the lock. Raises StackError immediately if a live process owns it, or after the wait."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StackError(advice(error, self._path.parent)) from None
        deadline = time.monotonic() + wait_s
        while not self._try():
            owner = self._owner()
            if owner is not None and is_alive(owner):
                self._close()
                raise StackError(f"Millgate is already running on {self._path.parent} (process {owner}).")
            if time.monotonic() > deadline:
                self._close()
                raise StackError(f"What was running on {self._path.parent} is still ending: try again.")
            time.sleep(POLL_INTERVAL_S)
        os.truncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def try_acquire(self) -> bool:
        """Take the lock if it is free, without changing the file's content."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self._try():
            return True
        self._close()
        return False

    @property
    def file(self) -> int:
        """Return the file descriptor, to be shared with a process that must hold the lock too."""
        if self._file is None:
            raise RuntimeError("the lock is not held")
        return self._file

    def release(self) -> None:
        """Release the lock; harmless when it is not held."""
        if self._file is not None:
            os.truncate(self._file, 0)
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try(self) -> bool:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _owner(self) -> int | None:
        text = os.pread(self.file, 32, 0).decode(errors="replace")
        return int(text) if text.isdecimal() else None

    def _close(self) -> None:
        os.close(self.file)
        self._file = None
