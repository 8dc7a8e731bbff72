"""From wrk's numbers to medians, ratios and goals."""

import pytest

from bench.api.endpoints import ENDPOINTS
from bench.api.figures import Sample, middle, section
from bench.api.growth_figures import Work
from bench.api.growth_figures import section as growth_section
from bench.api.wrk import parse
from devstack.errors import StackError

WRK = """\
Running 1s test @ http://127.0.0.1:3000
  1 threads and 16 connections
Requests/sec:   1477.00
MEASURED {"requests":1480,"duration_us":1002000,"p50_us":8530,"p99_us":133000,"failed":2}
"""


def test_the_output_of_wrk_is_parsed() -> None:
    load = parse(WRK)
    assert (load.requests, load.duration_s, load.p50_ms, load.p99_ms, load.failed) == (
        1480,
        1.002,
        8.53,
        133,
        2,
    )
    assert load.requests_per_s == pytest.approx(1477.05, abs=0.01)


def test_an_error_of_wrk_is_raised() -> None:
    with pytest.raises(StackError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def sample(requests_per_s: float, p99_ms: float = 10, failed: float = 0) -> Sample:
    return Sample(requests_per_s, 5, p99_ms, 1e6 / requests_per_s, 50, failed)


def samples(**rates: float) -> dict[tuple[str, str], list[Sample]]:
    return {
        (endpoint.kind, name.replace("_", "-")): [sample(rate), sample(rate * 9), sample(rate / 9)]
        for endpoint in ENDPOINTS
        for name, rate in rates.items()
    }


def test_the_median_is_that_of_each_number() -> None:
    assert middle([sample(1, p99_ms=30), sample(3, p99_ms=20), sample(2, p99_ms=10)]) == Sample(
        2, 5, 20, 5e5, 50, 0
    )


def test_ratios_are_those_of_the_medians() -> None:
    found = section(
        samples(millgate=650, fastify_1=500, fastapi_sqlalchemy=100),
        {"millgate": [2**20], "fastify-1": [2**21], "fastapi-sqlalchemy": [2**22]},
        ["fastify-2 was left out"],
    )
    assert "- fastify-2 was left out" in found.ratios
    assert "| GET one gateway | 1.30 | 1.00 | 0.20 |" in found.ratios
    assert "| GET one gateway | 0.77 | 1.00 | 5.00 |" in found.ratios
    assert "| millgate | 650 | 5.00 | 10.0 | 1,538 | 50.0 | 0.00 |" in found.figures
    assert "| fastify-1 | 2.00 |" in found.figures
    reached = {goal.work: goal.is_reached for goal in found.goals}
    assert len(found.goals) == 2 * len(ENDPOINTS) + 1
    assert reached["GET one gateway, against fastify-1"]
    assert not reached["list, limit 20, against fastify-1"]
    assert reached["p99 of GET one gateway"]
    assert reached["requests of all contestants that failed"]


def test_a_failed_request_and_a_longer_tail_miss_the_goals() -> None:
    measured = samples(millgate=650, fastify_1=500)
    measured["get", "millgate"] = [sample(650, p99_ms=10.1, failed=1)]
    found = section(measured, {"millgate": [1], "fastify-1": [1]}, [])
    reached = {goal.work: goal.is_reached for goal in found.goals}
    assert not reached["p99 of GET one gateway"]
    assert not reached["requests of all contestants that failed"]
    assert reached["p99 of PUT"]


def test_without_node_there_are_still_ratios() -> None:
    found = section(
        samples(millgate=650, fastapi_sqlalchemy=100), {"millgate": [1], "fastapi-sqlalchemy": [1]}, []
    )
    assert "| GET one gateway | 6.50 | 1.00 |" in found.ratios


def test_growth_is_against_the_smallest() -> None:
    sizes = (1_000, 100_000)
    latency_ms = {(work, size): 2.0 for work in Work for size in sizes}
    latency_ms[Work.CURSOR_PAGE, 100_000] = 2.5
    latency_ms[Work.SUMMARY, 100_000] = 49.0
    found = growth_section(latency_ms, sizes)
    assert "| page of 20 after a cursor | 1.00 | 1.25 |" in found.ratios
    assert "| summary of all states | 2.00 | 49.0 |" in found.figures
    assert [goal.is_reached for goal in found.goals] == [True, True, False, True]
