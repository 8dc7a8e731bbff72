"""The text of RESULTS.md."""

import math

import pytest

from bench.results import Section, at_least, at_most, median, number, ratio, report, table, times


def test_medians_and_ratios_of_nothing_are_no_numbers() -> None:
    assert median([3, 1, 2]) == 2
    assert median([1, 2]) == 1.5
    assert ratio(3, 2) == 1.5
    assert math.isnan(median([]))
    assert math.isnan(ratio(1, 0))
    assert number(median([])) == times(ratio(1, 0)) == "n/a"


@pytest.mark.parametrize(
    ("value", "shown"), [(12345.6, "12,346"), (100, "100"), (12.34, "12.3"), (1.234, "1.23"), (0, "0.00")]
)
def test_numbers_have_three_significant_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_table_is_markdown() -> None:
    assert table(["", "a"], [["one", "1"], ["two", "2"]]).splitlines() == [
        "|  | a |",
        "| --- | ---: |",
        "| one | 1 |",
        "| two | 2 |",
    ]


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (at_least("work", 1.3, 1.3), True),
        (at_least("work", 1.29, 1.3), False),
        (at_least("work", math.nan, 1.3), False),
        (at_most("work", 50, 50, "ms"), True),
        (at_most("work", 50.1, 50, "ms"), False),
        (at_most("work", math.nan, 50), False),
    ],
)
def test_a_goal_is_reached_or_not(goal: object, reached: bool) -> None:
    assert getattr(goal, "is_reached", None) is reached


def test_ratios_come_before_figures_and_goals_before_both() -> None:
    first = Section("First", "ratios of the first", "figures of the first", (at_least("speed", 1.0, 2.0),))
    second = Section("Second", "ratios of the second")
    text = report("a machine", "make bench", [first, second])
    places = [
        text.index(words)
        for words in (
            "`make bench`",
            "a machine",
            "| speed | ≥ 2 | 1.00 | **no** |",
            "## First\n\nratios of the first",
            "## Second\n\nratios of the second",
            "## Figures: First\n\nfigures of the first",
        )
    ]
    assert places == sorted(places)
    assert "Figures: Second" not in text
    assert "Goals" not in report("a machine", "make bench", [second])
