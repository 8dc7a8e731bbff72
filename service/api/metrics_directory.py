"""Where the API's processes leave their metrics for each other, for as long as gunicorn lives.

The directory's name is in the environment, where prometheus-client looks for it.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "millgate-metrics-"


def directory() -> str | None:
    """The directory; None outside gunicorn."""
    return os.environ.get(VARIABLE)


def make_directory() -> None:
    """Makes one for this process and its children, once; removes those of processes that were killed."""
    ours = f"{PREFIX}{os.getpid()}-"
    if Path(directory() or "").name.startswith(ours):
        return  # gunicorn reads its configuration anew
    for other in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        if not _is_running(other.name.removeprefix(PREFIX).partition("-")[0]):
            shutil.rmtree(other, ignore_errors=True)
    os.environ[VARIABLE] = tempfile.mkdtemp(prefix=ours)


def forget_process(pid: int) -> None:
    """A process has ended: what it had open is no more; what it counted stays."""
    for path in Path(os.environ[VARIABLE]).glob(f"gauge_live*_{pid}.db"):
        path.unlink(missing_ok=True)


def remove_directory() -> None:
    """The last act of the process that made it."""
    path = directory()
    if path is not None:
        shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: str) -> bool:
    if not pid.isdecimal():
        return True
    with suppress(PermissionError):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
    return True
