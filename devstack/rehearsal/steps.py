"""What a rehearsal shows: one line for each thing that was measured. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One thing, and whether it is as it should be; None: it is not judged."""

    what: str
    measured: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        """For the table."""
        return {True: "yes", False: "NO", None: ""}[self.holds]


@dataclass
class Rehearsal:
    """One rehearsal. For one thread."""

    title: str
    steps: list[Step] = field(default_factory=list)

    def check(self, what: str, measured: object, holds: bool | None) -> None:
        """Adds a line."""
        self.steps.append(Step(what, str(measured), holds))

    @property
    def has_failed(self) -> bool:
        """Whether anything is not as it should be."""
        return any(step.holds is False for step in self.steps)


def table(rehearsals: Sequence[Rehearsal]) -> str:
    """All of it, one table for each."""
    return "\n\n".join(_table(each) for each in rehearsals)


def _table(rehearsal: Rehearsal) -> str:
    rows = [(step.what, step.measured, step.verdict) for step in rehearsal.steps]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([f"{rehearsal.title}", "-" * len(rehearsal.title), *lines])
