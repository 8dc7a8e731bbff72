"""When to ping, and when to give up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.worker_settings import worker_config
from workers.gateway_manager.connection.keepalive import SessionClock

SETTINGS = worker_config(
    "postgresql://nobody@127.0.0.1:1/x", PING_INTERVAL_S="15", LIVENESS_TIMEOUT_S="25"
).session
DICE = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.req("STATUS-05")
@given(DICE)
def test_first_pings_are_spread(random_fraction: float) -> None:
    clock = SessionClock.starting(SETTINGS, 100.0, random_fraction)
    assert 107.3 <= clock.wake_at <= 115
    assert not clock.ping_is_due(107.3)
    assert clock.ping_is_due(115.0)
    assert clock.next_ping_at == 130


@pytest.mark.req("STATUS-05")
@given(st.floats(min_value=0, max_value=1e6), st.lists(DICE, min_size=500, max_size=500))
def test_pings_of_many_gateways_share_few_ticks(began: float, random_fraction: list[float]) -> None:
    clocks = [SessionClock.starting(SETTINGS, began, one) for one in random_fraction]
    for late_s in (0.0, 0.003, 0.01):
        moments = {round(clock.next_ping_at, 6) for clock in clocks}
        assert len(moments) <= 121
        for clock in clocks:
            due_at = clock.next_ping_at
            assert clock.ping_is_due(due_at + late_s)
            assert 14.87 <= clock.next_ping_at - due_at <= 15.001


@pytest.mark.req("STATUS-01")
def test_silence_counts_from_the_last_message() -> None:
    clock = SessionClock.starting(SETTINGS, 0.0, 0.0)
    assert clock.silent_at == 25
    clock.last_seen_at = 7.0
    assert clock.silent_at == 32
    clock.next_ping_at = 40
    assert clock.wake_at == 32


@pytest.mark.req("STATUS-05")
@given(DICE)
def test_a_gateway_that_answers_pings_is_never_silent_for_long(random_fraction: float) -> None:
    clock = SessionClock.starting(SETTINGS, 0.0, random_fraction)
    for _ in range(100):
        now = clock.wake_at
        assert now < clock.silent_at
        assert clock.ping_is_due(now)
        assert now - clock.last_seen_at <= 15.001
        clock.last_seen_at = now
