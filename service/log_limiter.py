"""How many lines of a kind the log takes. Pure but for its memory: the clock is passed in."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

LINES = 50
"""Of one kind, in one window; further ones are counted."""
WINDOW_S = 10.0
LINES_OF_A_SOURCE = 5
"""Of a factory or an address: these it has even when others have used up the lines of the kind."""
MAX_SOURCES = 100
MAX_KINDS = 200
"""Kinds that are counted apart at the same time; any further ones share one window."""
MAX_VALUES = 100
"""Values of a field that are counted apart."""
FIELDS = ("reason", "factory", "worker", "address")
"""What the lines that are left out are counted by."""

_SOURCES = ("factory", "address")
_ANY_KIND = "any other line"


@dataclass(slots=True)
class LeftOut:
    """Lines of a kind that were not written."""

    kind: Hashable
    count: int = 0
    values: dict[str, Counter[str]] = field(default_factory=dict)
    """By field, how many lines had each value."""

    def add(self, fields: Mapping[str, object]) -> None:
        """Counts a line with these fields."""
        self.count += 1
        for name in FIELDS:
            if name in fields:
                values = self.values.setdefault(name, Counter())
                value = str(fields[name])
                values[value if value in values or len(values) < MAX_VALUES else "others"] += 1


@dataclass(slots=True)
class _Window:
    ends_at: float
    left_out: LeftOut
    lines: int = 0
    sources: Counter[str] = field(default_factory=Counter)

    def has_room(self, source: str) -> bool:
        """Whether a line of this source may be written: one that is loud does not hide the others."""
        if self.lines < LINES:
            return True
        is_known = source in self.sources or len(self.sources) < MAX_SOURCES
        return bool(source) and is_known and self.sources[source] < LINES_OF_A_SOURCE


class LogLimiter:
    """At most `LINES` lines of a kind in `WINDOW_S`. For one thread at a time."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, _Window] = {}
        """By kind, in the order in which they end."""

    def admit(self, kind: Hashable, fields: Mapping[str, object], now: float) -> bool:
        """Whether to write a line. Call `take_ended` before."""
        if kind not in self._windows and len(self._windows) >= MAX_KINDS:
            kind = _ANY_KIND
        if kind not in self._windows:
            self._windows[kind] = _Window(now + WINDOW_S, LeftOut(kind))
        window = self._windows[kind]
        source = next((str(fields[name]) for name in _SOURCES if name in fields), "")
        if window.has_room(source):
            window.lines += 1
            window.sources[source] += 1
            return True
        window.left_out.add(fields)
        return False

    def take_ended(self, now: float) -> list[LeftOut]:
        """What was left out in the windows that have ended."""
        ended = []
        for kind, window in list(self._windows.items()):
            if window.ends_at > now:
                break
            del self._windows[kind]
            if window.left_out.count:
                ended.append(window.left_out)
        return ended
