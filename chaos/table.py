"""How outcomes are shown: a table for a person, and bars for what is spread over time. Pure."""

import textwrap
from collections.abc import Sequence

from chaos.findings import Outcome

WIDTHS = (26, 44, 58, 9)
HEADER = ("fault", "promise", "measured", "verdict")
BAR_LENGTH = 60


def table(outcomes: Sequence[Outcome]) -> str:
    """The whole table; long texts go on in the lines below."""
    rule = "-+-".join("-" * width for width in WIDTHS)
    lines = [*_row(HEADER), rule]
    for outcome in outcomes:
        fault = f"{outcome.fault} [{outcome.name}]"
        lines += [*_row((fault, outcome.promise, outcome.measured, outcome.verdict)), rule]
    return "\n".join(lines)


def histogram(title: str, seconds: Sequence[float]) -> str:
    """How many of these moments fell into each second, as bars; empty without any."""
    if not seconds:
        return ""
    counts = per_second(seconds)
    longest = max(counts)
    lines = [title]
    for second, count in enumerate(counts):
        bar = "█" * round(count / longest * BAR_LENGTH)
        lines.append(f"{second:>4} s {count:>5} {bar}")
    return "\n".join(lines)


def per_second(seconds: Sequence[float]) -> list[int]:
    """How many fell into each second, from 0 on; at least one number."""
    counts = [0] * (int(max(seconds, default=0)) + 1)
    for moment in seconds:
        counts[max(0, int(moment))] += 1
    return counts


def _lines(cell: str, width: int) -> list[str]:
    """Each part of an enumeration begins on a line of its own."""
    return [line for part in cell.split("; ") for line in textwrap.wrap(part, width) or [""]]


def _row(cells: Sequence[str]) -> list[str]:
    columns = [_lines(cell, width) for cell, width in zip(cells, WIDTHS, strict=True)]
    height = max(len(column) for column in columns)
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        " | ".join(part.ljust(width) for part, width in zip(parts, WIDTHS, strict=True)).rstrip()
        for parts in zip(*padded, strict=True)
    ]
