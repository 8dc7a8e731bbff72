"""The supervisor's decisions, without processes."""

from devstack.processes.restart_backoff import RestartBackoff, allocate_stop_timeouts


def test_delays_double_to_30_s() -> None:
    plan, delays = RestartBackoff(), []
    for _ in range(7):
        plan = plan.next(ran_for_s=0.1)
        delays.append(plan.delay_s)
    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_a_good_run_resets_the_delay() -> None:
    assert RestartBackoff(delay_s=30).next(ran_for_s=60).delay_s == 1
    assert RestartBackoff(delay_s=16).next(ran_for_s=59).delay_s == 30


def test_stop_timeouts_leave_time_for_later_children() -> None:
    assert allocate_stop_timeouts([6, 2, 5], total_s=8, least_s=1.5) == [5, 1.5, 1.5]
    assert allocate_stop_timeouts([1, 1, 1], total_s=8, least_s=1) == [1, 1, 1]
    assert allocate_stop_timeouts([6, 6], total_s=0, least_s=1) == [1, 1]
    assert allocate_stop_timeouts([], total_s=8, least_s=1) == []
