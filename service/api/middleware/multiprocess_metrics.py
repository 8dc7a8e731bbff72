"""Where the API's processes leave their metrics for each other, for as long as one of them lives.

prometheus-client finds the directory's name in the environment, and keeps the numbers of a process in files
there. Every process holds a lock (flock) on the directory, which says that it is in use: process ids mean
nothing in another container, and what clears `/tmp` heeds such a lock as well (systemd-tmpfiles does).
"""

import fcntl
import logging
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

log = logging.getLogger("millgate.api")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "millgate-api-metrics-"
# The files of a process, and the bytes that are reserved for each: they are mapped into memory, and a write
# there for which the disk has no room would end the process. There is room for
# some 400 kinds of requests: by route, method and status.
FILES = {"histogram": 2 * 1024 * 1024, "counter": 64 * 1024, "gauge_livesum": 64 * 1024}
RETRY_INTERVAL_S = 1.0
ATTEMPTS = 3


@dataclass
class _Own:
    """What this process has of the directory; a child begins with what its parent had."""

    lock: int | None = None
    pid: int = 0
    """Who has begun files."""
    begun: int = 0
    """How many times files were begun."""
    retry_at: float = 0.0


_own = _Own()
_one_at_a_time = threading.Lock()


def directory() -> str | None:
    """The directory; None where a process counts for itself alone."""
    return os.environ.get(VARIABLE)


def identity() -> str:
    """What the names of this process's files end with: another text whenever it begins files anew."""
    return f"{os.getpid()}-{_own.begun}"


def make_directory() -> None:
    """Makes one for this process and its children, once; removes those that nobody uses any more."""
    if _own.lock is not None:
        return  # gunicorn reads its configuration anew
    try:
        remove_abandoned()
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            _begin_files(path)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        os.environ[VARIABLE] = str(path)
    except OSError as error:
        os.environ.pop(VARIABLE, None)
        log.warning(
            "no directory for metrics: each process answers /metrics for itself alone: %s; check TMPDIR and"
            " restart, see docs/runbook.md#metrics-not-recorded",
            error,
        )


def remove_abandoned() -> None:
    """Removes the directories of processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = _open(path)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def has_files() -> bool:
    """Whether this process has begun files. Costs next to nothing."""
    return _own.pid == os.getpid()


def keep_files() -> bool:
    """Whether this process has its files: they are begun where they are not there (any more).

    Where that fails it is tried again a second later at the earliest. Any thread may call.
    """
    path = Path(directory() or "")
    with _one_at_a_time:
        if has_files() and all((path / f"{kind}_{identity()}.db").exists() for kind in FILES):
            return True
        if monotonic() < _own.retry_at:
            return False
        try:
            _begin_files(path)
        except OSError as error:
            _own.pid, _own.retry_at = 0, monotonic() + RETRY_INTERVAL_S
            log.warning(
                "cannot record metrics: %s; trying again; check the directory of TMPDIR, see"
                " docs/runbook.md#metrics-not-recorded",
                error,
            )
            return False
        return True


def give_up_files() -> None:
    """They turned out to be of no use, and are removed: `keep_files` begins others a second later."""
    with _one_at_a_time:
        if has_files():
            _own.pid, _own.retry_at = 0, monotonic() + RETRY_INTERVAL_S
            for kind in FILES:
                (Path(directory() or "") / f"{kind}_{identity()}.db").unlink(missing_ok=True)


def mark_process_dead(pid: int) -> None:
    """A process has ended: what it had open is no more; what it counted stays."""
    for path in Path(directory() or os.devnull).glob(f"gauge_live*_{pid}-*.db"):
        path.unlink(missing_ok=True)


def remove_directory() -> None:
    """The last act of the process that made it."""
    path = directory()
    if path is not None:
        shutil.rmtree(path, ignore_errors=True)


def _begin_files(path: Path) -> None:
    _hold(path)
    mark_process_dead(os.getpid())
    begun = _own.begun + 1
    files = {path / f"{kind}_{os.getpid()}-{begun}.db": size for kind, size in FILES.items()}
    try:
        for file, size in files.items():
            file.write_bytes(bytes(size))
    except OSError:
        for file in files:
            file.unlink(missing_ok=True)
        raise
    # Not before they are there: other threads count meanwhile.
    _own.pid, _own.begun = os.getpid(), begun


def _hold(path: Path) -> None:
    """Makes the directory if need be, and holds it. Raises OSError."""
    for _ in range(ATTEMPTS):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _open(path)
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # Another process may have taken it for abandoned before it was locked.
            if os.path.samestat(os.fstat(lock), path.stat()):
                if _own.lock is not None:
                    os.close(_own.lock)
                _own.lock = lock
                return
        os.close(lock)
    raise FileNotFoundError(f"{path} is removed again and again")


def _open(path: Path) -> int:
    """A directory of ours, and no link to one. Raises OSError."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    if os.fstat(opened).st_uid != os.geteuid():
        os.close(opened)
        raise PermissionError(f"{path} belongs to another user")
    return opened
