"""Figures from the worker's measurements."""

import math

import pytest

from bench.worker.figures import Measured, figures, goals, quantile, ratios
from bench.worker.fleet import Work, work_table

NAMES = ("ours", "theirs")


def measured(ours: list[float], theirs: list[float], wanted: float | None = None) -> Measured:
    rounds = {"ours": ours} | ({"theirs": theirs} if theirs else {})
    return Measured("seconds to start", "s", rounds, wanted)


def test_a_ratio_is_theirs_over_ours_of_medians() -> None:
    table = ratios([measured([2, 9, 3], [6, 6, 1])], NAMES)
    assert table.splitlines()[0] == "| less is better | theirs ÷ ours |"
    assert table.splitlines()[-1] == "| seconds to start | 2.00 |"


def test_a_quantity_of_one_contestant_has_no_ratio() -> None:
    assert len(ratios([measured([2], [])], NAMES).splitlines()) == 2


def test_figures_have_their_spread() -> None:
    lines = figures([measured([2, 9, 3], []), measured([5], [6])], NAMES).splitlines()
    assert lines[-2] == "| seconds to start, s | 3.00 (2.00 to 9.00) | n/a |"
    assert lines[-1] == "| seconds to start, s | 5.00 | 6.00 |"


def test_goals() -> None:
    under, ahead = goals([measured([2], [1], wanted=3)], NAMES, "theirs")
    assert (under.is_reached, under.wanted, under.measured) == (True, "≤ 3.00 s", "2.00 s")
    assert (ahead.is_reached, ahead.measured) == (False, "0.50")
    assert goals([measured([2], [1])], NAMES, "") == ()


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 50), (0.99, 99), (1, 100)])
def test_quantiles(share: float, expected: float) -> None:
    assert quantile([float(n) for n in range(100, 0, -1)], share) == expected


def test_a_quantile_of_nothing() -> None:
    assert math.isnan(quantile([], 0.5))


def test_the_table_of_a_fleet() -> None:
    lines = work_table([Work(10_000, 16.4, 175_875, 710, 3.47, 34.2)]).splitlines()
    assert lines[-1] == "| 10,000 | 16.4 | 175,875 | 710 | 3.47 | 34.2 |"
