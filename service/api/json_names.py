"""Names that a JSON text gives twice: readers disagree about which of the values counts (RFC 8259). Pure."""

import json
from collections import Counter
from typing import Any


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


def repeated_names(text: str | bytes, inside: str = "metadata") -> list[str]:
    """Which names the object in a valid JSON text has twice; `inside` stands for inner ones."""
    repeats = _Repeats()
    json.loads(text, object_pairs_hook=repeats.take)
    return [*repeats.newest, *([inside] if repeats.earlier else [])]
