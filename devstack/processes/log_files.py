"""Size-limited log files, written by child processes themselves.

Children append straight to their file, not through a pipe, so they never block on a reader or lose one.
"""

import os
import shutil
from pathlib import Path

MAX_LOG_BYTES = 16 * 1024 * 1024


def open_log(path: Path, max_bytes: int = MAX_LOG_BYTES) -> int:
    """Open a log file for appending, after bounding it; returns a file descriptor that the caller closes.

    Only its owner can read it, and enter a folder made for it, regardless of umask and earlier runs.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    bound_log(path, max_bytes)
    if (moved := _moved(path)).exists():
        moved.chmod(0o600)
    return _open_private(path, os.O_APPEND)


def bound_log(path: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Move the content of a log that is too big to `<name>.1` (which it replaces), and empty the log.

    The file itself stays, because a running child has it open for appending.
    """
    if not path.exists() or path.stat().st_size <= max_bytes:
        return
    try:
        with path.open("rb") as log, os.fdopen(_open_private(_moved(path), os.O_TRUNC), "wb") as moved:
            shutil.copyfileobj(log, moved)
    except OSError:
        # The disk is full: the space is worth more than the log.
        _moved(path).unlink(missing_ok=True)
    os.truncate(path, 0)


def _moved(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _open_private(path: Path, flags: int) -> int:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    os.fchmod(file, 0o600)
    return file


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def last_lines(path: Path, since_byte: int = 0, max_lines: int = 15, max_bytes: int = 16_384) -> list[str]:
    """Return the last lines written to a log after `since_byte`."""
    size = size_of(path)
    start = since_byte if since_byte <= size else 0
    if size == 0:
        return []
    with path.open("rb") as log:
        log.seek(max(start, size - max_bytes))
        return log.read(max_bytes).decode(errors="replace").splitlines()[-max_lines:]
