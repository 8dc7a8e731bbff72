"""Measurements of several managers side by side, as Markdown. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.results import Goal, at_least, at_most, median, number, ratio, table


@dataclass(frozen=True)
class Measured:
    """One quantity, of which less is better: a value per contestant and round."""

    work: str
    unit: str
    rounds: dict[str, list[float]] = field(default_factory=dict)
    wanted: float | None = None
    """The goal: the most that the first contestant may have; None without one."""

    def add(self, contestant: str, value: float) -> None:
        """Add a round's value."""
        self.rounds.setdefault(contestant, []).append(value)

    def of(self, contestant: str) -> float:
        """Return the median; nan where nothing was measured."""
        return median(self.rounds.get(contestant, []))


def ratios(measured: Sequence[Measured], contestants: Sequence[str]) -> str:
    """Return the others' values as multiples of the first contestant's: over 1, the first is ahead."""
    first, *others = contestants
    header = ["less is better", *(f"{other} ÷ {first}" for other in others)]
    rows = [
        [each.work, *(number(ratio(each.of(other), each.of(first))) for other in others)]
        for each in measured
        if len(each.rounds) > 1
    ]
    return table(header, rows)


def figures(measured: Sequence[Measured], contestants: Sequence[str]) -> str:
    """Return medians, with minimum and maximum where there were several rounds."""
    header = ["median (least to greatest)", *contestants]
    return table(header, [[f"{each.work}, {each.unit}", *_cells(each, contestants)] for each in measured])


def goals(measured: Sequence[Measured], contestants: Sequence[str], ahead_of: str) -> tuple[Goal, ...]:
    """Return the goals of each quantity: its own limit, and the values of the others."""
    first = contestants[0]
    found: list[Goal] = []
    for each in measured:
        if each.wanted is not None:
            found.append(at_most(each.work, each.of(first), each.wanted, each.unit))
        if ahead_of in each.rounds:
            ahead = ratio(each.of(ahead_of), each.of(first))
            found.append(at_least(f"{each.work}: {ahead_of} ÷ {first}", ahead, 1))
    return tuple(found)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile at `share` (nearest rank); nan without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _cells(measured: Measured, contestants: Sequence[str]) -> list[str]:
    return [_cell(measured.rounds.get(contestant, [])) for contestant in contestants]


def _cell(values: Sequence[float]) -> str:
    if len(values) < 2:
        return number(median(values))
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def named(values: Mapping[str, float], unit: str) -> str:
    """`name value unit, …`."""
    return ", ".join(f"{name} {number(value)} {unit}" for name, value in values.items())
