"""What is costly is done at once when it is rare, and seldom when it is asked for all the time."""

import pytest

from workers.gateway_manager.assignment.cost_limiter import Pace

pytestmark = pytest.mark.req("ORCH-01")


def test_a_few_times_in_a_row_are_fine_and_then_it_costs_twenty_times_the_time() -> None:
    pace = Pace()
    for _ in range(4):
        assert pace.is_due()
        pace.took(0.1)
    assert pace.is_due()
    pace.took(0.2)
    assert not pace.is_due()
    assert 1 < pace.left_s() < 2.1


def test_a_slow_one_is_tried_again_before_long() -> None:
    pace = Pace()
    pace.took(60.0)
    assert 4 < pace.left_s() < 5.1


def test_the_time_comes() -> None:
    pace = Pace()
    pace.took(0.5001)
    while not pace.is_due():
        pass
    assert pace.left_s() == 0
