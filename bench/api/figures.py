"""Measurements of the contestants, and their Markdown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from bench.api.endpoints import ENDPOINTS, Endpoint
from bench.results import Goal, Section, at_least, at_most, median, number, ratio, table, times

OURS = "millgate"
FASTIFY = "fastify-1"


@dataclass(frozen=True)
class Sample:
    """One round of one endpoint against one contestant."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    server_us: float
    """CPU time of all the contestant's processes, a request."""
    postgres_us: float
    """The same of PostgreSQL."""
    failed: float


Samples = Mapping[tuple[str, str], Sequence[Sample]]
"""By endpoint's kind and contestant's name."""


def middle(samples: Sequence[Sample]) -> Sample:
    """The median of each number."""
    return Sample(*(median([getattr(one, field.name) for one in samples]) for field in fields(Sample)))


def section(samples: Samples, memory_bytes: Mapping[str, Sequence[int]], notes: Sequence[str]) -> Section:
    """Return the section with all ratios, goals and figures."""
    names = list(dict.fromkeys(name for _, name in samples))
    middles = {key: middle(rounds) for key, rounds in samples.items()}
    base = FASTIFY if FASTIFY in names else names[-1]
    parts = [
        *(f"- {note}" for note in notes),
        "" if notes else None,
        f"Requests a second, as multiples of {base}:",
        "",
        ratio_table(middles, names, base, "requests_per_s"),
        "",
        f"CPU time of the server a request, as multiples of {base} (less is better):",
        "",
        ratio_table(middles, names, base, "server_us"),
        "",
        f"CPU time of server and PostgreSQL together a request, as multiples of {base} (less is better):",
        "",
        ratio_table(middles, names, base, "server_us", "postgres_us"),
    ]
    return Section(
        "API",
        "\n".join(part for part in parts if part is not None),
        figures(middles, names, memory_bytes),
        tuple(goals(samples, middles, names)),
    )


def ratio_table(
    middles: Mapping[tuple[str, str], Sample], names: Sequence[str], base: str, *columns: str
) -> str:
    """Return a table of endpoints by contestants; several columns are added up."""

    def value(endpoint: Endpoint, name: str) -> float:
        return sum(float(getattr(middles[endpoint.kind, name], column)) for column in columns)

    rows = [
        [endpoint.shown, *(times(ratio(value(endpoint, name), value(endpoint, base))) for name in names)]
        for endpoint in ENDPOINTS
    ]
    return table(["", *names], rows)


def goals(samples: Samples, middles: Mapping[tuple[str, str], Sample], names: Sequence[str]) -> list[Goal]:
    """Compare the measurements with the goals."""
    found = []
    for endpoint in ENDPOINTS if FASTIFY in names else ():
        ours, theirs = middles[endpoint.kind, OURS], middles[endpoint.kind, FASTIFY]
        measured = ratio(ours.requests_per_s, theirs.requests_per_s)
        found.append(at_least(f"{endpoint.shown}, against {FASTIFY}", measured, endpoint.fastify_goal))
        found.append(at_most(f"p99 of {endpoint.shown}", ours.p99_ms, theirs.p99_ms, "ms"))
    failed = sum(one.failed for rounds in samples.values() for one in rounds)
    return [*found, at_most("requests of all contestants that failed", failed, 0)]


def figures(
    middles: Mapping[tuple[str, str], Sample],
    names: Sequence[str],
    memory_bytes: Mapping[str, Sequence[int]],
) -> str:
    """Return the absolute numbers."""
    header = ["", "requests/s", "p50 ms", "p99 ms", "server CPU µs", "PostgreSQL CPU µs", "failed"]
    parts = []
    for endpoint in ENDPOINTS:
        rows = [
            [name, *(number(getattr(middles[endpoint.kind, name], field.name)) for field in fields(Sample))]
            for name in names
        ]
        parts += [f"### {endpoint.shown}", table(header, rows)]
    mib = [[name, number(median(memory_bytes[name]) / 2**20)] for name in names]
    return "\n\n".join([*parts, "### Memory after the load", table(["", "PSS MiB"], mib)])
