"""Results of rows, and their Markdown, ratios first. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A goal and what was measured, in words."""

    work: str
    wanted: str
    measured: str
    is_reached: bool


@dataclass(frozen=True)
class Section:
    """One row's result. `ratios` and `figures` are Markdown without headings of the first two levels."""

    title: str
    ratios: str
    figures: str = ""
    """Absolute numbers, which are this machine's and are shown after all ratios."""
    goals: tuple[Goal, ...] = ()
    commit: str = ""
    """The section's title."""


def at_least(work: str, measured: float, wanted: float) -> Goal:
    """The goal that a ratio is not smaller."""
    return Goal(work, f"≥ {wanted:g}", times(measured), measured >= wanted)


def at_most(work: str, measured: float, wanted: float, unit: str = "") -> Goal:
    """The goal that a number is not greater."""
    unit_text = f" {unit}" if unit else ""
    return Goal(work, f"≤ {number(wanted)}{unit_text}", f"{number(measured)}{unit_text}", measured <= wanted)


def median(values: Sequence[float]) -> float:
    """Return the median; nan without values."""
    return statistics.median(values) if values else float("nan")


def ratio(value: float, base: float) -> float:
    """Return the value as a multiple of the base; nan without a base."""
    return value / base if base else float("nan")


def times(value: float) -> str:
    """A ratio."""
    return "n/a" if math.isnan(value) else f"{value:.2f}"


def number(value: float) -> str:
    """With three significant digits, and thousands set apart."""
    if math.isnan(value):
        return "n/a"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all columns but the first are aligned right."""
    lines = [_line(header), _line(["---"] + ["---:"] * (len(header) - 1))]
    return "\n".join(lines + [_line(row) for row in rows])


def goals_table(goals: Sequence[Goal]) -> str:
    """Return the table of goals."""
    rows = [(goal.work, goal.wanted, goal.measured, "yes" if goal.is_reached else "**no**") for goal in goals]
    return table(("goal", "wanted", "measured", "reached"), rows)


def report(machine: str, command: str, sections: Sequence[Section], failed: Sequence[str] = ()) -> str:
    """Return the text of RESULTS.md. `failed`: the names of rows that could not be measured."""
    goals = [goal for section in sections for goal in section.goals]
    parts = [
        "# Results",
        f"Written by `{command}`. Ratios carry over to other machines, absolute figures hardly do.",
        f"{machine}",
    ]
    if failed:
        parts.append(f"Could not be measured: {', '.join(failed)}.")
    if goals:
        parts += ["## Goals", goals_table(goals)]
    for section in sections:
        parts.append(f"## {section.title}")
        if section.commit:
            parts.append(f"Measured on commit {section.commit}.")
        parts.append(section.ratios)
    for section in sections:
        if section.figures:
            parts += [f"## Figures: {section.title}", section.figures]
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
