"""Latency by the number of gateways, and its Markdown. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from bench.results import Goal, Section, at_most, number, ratio, table, times

MOST_GROWTH = 1.2
SUMMARY_AT, SUMMARY_LIMIT_MS = 100_000, 50.0


class Work(StrEnum):
    """The measured requests."""

    BY_ID = "GET one gateway"
    STATUS = "GET the status of one gateway"
    CURSOR_PAGE = "page of 20 after a cursor"
    FIRST_PAGE = "first page of 20"
    FACTORY_PAGE = "first page of 20 of one factory of 200"
    OFFSET_PAGE = "page of 20 at an offset of 9/10"
    TOTAL = "page of 1: the total, for the most part"
    SUMMARY = "summary of all states"


FLAT = (Work.BY_ID, Work.STATUS, Work.CURSOR_PAGE)
"""Requests whose latency should not depend on the number of gateways."""


def section(latency_ms: Mapping[tuple[Work, int], float], sizes: Sequence[int]) -> Section:
    """Return the section with all ratios, goals and figures."""
    header = ["gateways", *(f"{size:,}" for size in sizes)]
    first = sizes[0]
    ratios = [
        [work, *(times(ratio(latency_ms[work, size], latency_ms[work, first])) for size in sizes)]
        for work in Work
    ]
    figures = [[work, *(number(latency_ms[work, size]) for size in sizes)] for work in Work]
    return Section(
        "Growth of the API",
        f"Median latency of one request after the other on one connection, as multiples of that at {first:,} "
        "gateways:\n\n" + table(header, ratios),
        "Median latency in ms (n/a: refused, because it exceeded the request timeout):\n\n"
        + table(header, figures),
        tuple(goals(latency_ms, sizes)),
    )


def goals(latency_ms: Mapping[tuple[Work, int], float], sizes: Sequence[int]) -> list[Goal]:
    """Return the goals: which latencies must not grow, and which must stay short."""
    first, last = sizes[0], sizes[-1]
    found = [
        at_most(
            f"{work}, at {last:,} gateways against {first:,}",
            ratio(latency_ms[work, last], latency_ms[work, first]),
            MOST_GROWTH,
        )
        for work in FLAT
    ]
    if SUMMARY_AT in sizes:
        took_ms = latency_ms[Work.SUMMARY, SUMMARY_AT]
        found.append(at_most(f"summary over {SUMMARY_AT:,} gateways", took_ms, SUMMARY_LIMIT_MS, "ms"))
    return found
