"""Costly work runs immediately when rare, and seldom when requested all the time."""

import pytest

from workers.gateway_manager.assignment.cost_limiter import CostLimiter

pytestmark = pytest.mark.req("ORCH-01")


def test_a_burst_is_allowed_and_then_each_run_costs_twenty_times_its_time() -> None:
    limiter = CostLimiter()
    for _ in range(4):
        assert limiter.is_due()
        limiter.charge(0.1)
    assert limiter.is_due()
    limiter.charge(0.2)
    assert not limiter.is_due()
    assert 1 < limiter.wait_s() < 2.1


def test_a_slow_run_is_allowed_again_before_long() -> None:
    limiter = CostLimiter()
    limiter.charge(60.0)
    assert 4 < limiter.wait_s() < 5.1


def test_waiting_for_wait_s_is_enough() -> None:
    limiter = CostLimiter()
    limiter.charge(0.5001)
    while not limiter.is_due():
        pass
    assert limiter.wait_s() == 0
