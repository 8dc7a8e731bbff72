"""The supervisor's decisions, without processes."""

from devstack.processes.restart_backoff import RestartPlan, stop_limits


def test_delays_double_to_30_s() -> None:
    plan, delays = RestartPlan(), []
    for _ in range(7):
        plan = plan.after_death(ran_for_s=0.1)
        delays.append(plan.delay_s)
    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_a_good_run_makes_the_next_delay_short_again() -> None:
    assert RestartPlan(delay_s=30).after_death(ran_for_s=60).delay_s == 1
    assert RestartPlan(delay_s=16).after_death(ran_for_s=59).delay_s == 30


def test_stop_limits_leave_time_for_the_ones_behind() -> None:
    assert stop_limits([6, 2, 5], total_s=8, least_s=1.5) == [5, 1.5, 1.5]
    assert stop_limits([1, 1, 1], total_s=8, least_s=1) == [1, 1, 1]
    assert stop_limits([6, 6], total_s=0, least_s=1) == [1, 1]
    assert stop_limits([], total_s=8, least_s=1) == []
