"""Names that a JSON text gives twice: readers disagree about which of the values counts (RFC 8259). Pure."""

import json
from collections import Counter
from typing import Any


class _RepeatedError(Exception):
    """There is a name twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    taken = dict(pairs)
    if len(taken) < len(pairs):
        raise _RepeatedError
    return taken


# Made once: that costs more than to read a short text.
_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)


class _Repeats:
    """Follows a parser, which finishes inner objects first."""

    def __init__(self) -> None:
        self.newest: list[str] = []
        self.earlier = False

    def take(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object that was read."""
        taken = dict(pairs)
        self.earlier = self.earlier or bool(self.newest)
        self.newest = []
        if len(taken) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            self.newest = [name for name, count in counts.items() if count > 1]
        return taken


def repeated_names(text: str, inside: str = "metadata") -> list[str]:
    """Which names the object in a valid JSON text has twice; `inside` stands for inner ones."""
    try:
        _DECODER.decode(text)
    except _RepeatedError:
        return _all_repeated_names(text, inside)
    return []


def _all_repeated_names(text: str, inside: str) -> list[str]:
    repeats = _Repeats()
    json.loads(text, object_pairs_hook=repeats.take)
    return [*repeats.newest, *([inside] if repeats.earlier else [])]
