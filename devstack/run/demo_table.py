"""Views of the demo: a table that is redrawn on a terminal, or a line for each change."""

import sys
from datetime import datetime
from typing import Any, Protocol

Statuses = dict[str, dict[str, Any]]

COLORS = {"connected": "32", "retrying": "31", "auth_failed": "31", "unknown": "35"}
OTHER_COLOR = "33"
HEADER = f"{'name':<18} {'state':<15} {'since':<9} {'last seen':<10} reason"
SHOWN_NOTES = 6


class DemoView(Protocol):
    """Shows the demo's statuses and events."""

    def show(self, statuses: Statuses) -> None:
        """Show the current statuses."""

    def note(self, text: str) -> None:
        """Show an event."""


class LinesView:
    """A line for each change of a state."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def show(self, statuses: Statuses) -> None:
        """Print the gateways whose state has changed."""
        for name, status in statuses.items():
            if self._states.get(name) != status["state"]:
                self._states[name] = status["state"]
                print(row(name, status), flush=True)

    def note(self, text: str) -> None:
        """Print it."""
        print(f"-- {text}", flush=True)


class TableView:
    """A table that is redrawn in place, with the latest notes and the page's address below."""

    def __init__(self, page_url: str) -> None:
        self._last_line = f"{page_url} shows the gateways in a browser. Ctrl-C stops."
        self._notes: list[str] = []
        self._lines_drawn = 0

    def show(self, statuses: Statuses) -> None:
        """Draw the table over the one before."""
        rows = [
            f"\x1b[{COLORS.get(status['state'], OTHER_COLOR)}m{row(name, status)}\x1b[0m"
            for name, status in statuses.items()
        ]
        lines = [f"\x1b[1m{HEADER}\x1b[0m", *rows, "", *self._notes[-SHOWN_NOTES:], self._last_line]
        up = f"\x1b[{self._lines_drawn}A" if self._lines_drawn else ""
        sys.stdout.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()
        self._lines_drawn = len(lines)

    def note(self, text: str) -> None:
        """Keep the note for the lines below the table."""
        self._notes.append(text)


def row(name: str, status: dict[str, Any]) -> str:
    """Return one gateway's line. Ages are seconds on the server's clock."""
    as_of = datetime.fromisoformat(status["as_of"])
    reason = status["reason"]
    text = f"{reason['code']}: {reason['message']}" if reason else ""
    since = age(status["state_since"], as_of)
    seen = age(status["last_seen_at"], as_of)
    return f"{name:<18} {status['state']:<15} {since:<9} {seen:<10} {text}".rstrip()[:150]


def age(time: str | None, as_of: datetime) -> str:
    """Return the age in seconds."""
    return "-" if time is None else f"{(as_of - datetime.fromisoformat(time)).total_seconds():.1f} s"
