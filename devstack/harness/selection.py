"""Selection of rows, and progress output, for commands that measure the rows of a table."""

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Protocol, TypeVar

from devstack.errors import StackError
from devstack.terminal import say

LOOK_INTERVAL_S = 0.2
INTERRUPTED = 130
"""The exit status of an interrupted command."""


class Named(Protocol):
    """A row."""

    @property
    def name(self) -> str:
        """The name that selects it."""

    @property
    def about(self) -> str:
        """A short description."""


Row = TypeVar("Row", bound=Named)


class ProgressLog:
    """Progress lines, with the seconds since the start. Any thread may call it."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        with self._lock:
            say(f"{monotonic() - self._began:6.1f} s  {text}")


def choose(only: str, rows: Sequence[Row]) -> list[Row]:
    """Return the rows named, separated by commas; all without names. Raises StackError for an unknown one."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = {row.name for row in rows}
    if unknown := [name for name in names if name not in known]:
        raise StackError(f"no row {', '.join(unknown)}; there are: {', '.join(row.name for row in rows)}")
    return [row for row in rows if not names or row.name in names]


def listing(rows: Sequence[Named]) -> str:
    """Return the names with their descriptions."""
    width = max((len(row.name) for row in rows), default=0)
    return "\n".join(f"  {row.name:<{width}}  {row.about}" for row in rows)
