"""When to ping, when to give up, and how much to read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.settings import worker_config
from workers.gateway_manager.session_clock import ReadBudget, SessionClock, TokenBucket

SETTINGS = worker_config(
    "postgresql://nobody@127.0.0.1:1/x", PING_INTERVAL_S="15", LIVENESS_TIMEOUT_S="25"
).session
DICE = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.req("STATUS-05")
@given(DICE)
def test_first_pings_are_spread(dice: float) -> None:
    clock = SessionClock.starting(SETTINGS, 100.0, dice)
    assert 107.3 <= clock.wake_at <= 115
    assert not clock.ping_is_due(107.3)
    assert clock.ping_is_due(115.0)
    assert clock.next_ping_at == 130


@pytest.mark.req("STATUS-05")
@given(st.floats(min_value=0, max_value=1e6), st.lists(DICE, min_size=500, max_size=500))
def test_pings_of_many_are_sent_at_few_moments(began: float, dice: list[float]) -> None:
    clocks = [SessionClock.starting(SETTINGS, began, one) for one in dice]
    for late_s in (0.0, 0.003, 0.01):
        moments = {round(clock.next_ping_at, 6) for clock in clocks}
        assert len(moments) <= 121
        for clock in clocks:
            due_at = clock.next_ping_at
            assert clock.ping_is_due(due_at + late_s)
            assert 14.87 <= clock.next_ping_at - due_at <= 15.001


@pytest.mark.req("STATUS-01")
def test_silence_is_counted_from_what_was_last_heard() -> None:
    clock = SessionClock.starting(SETTINGS, 0.0, 0.0)
    assert clock.silent_at == 25
    clock.last_seen_at = 7.0
    assert clock.silent_at == 32
    clock.next_ping_at = 40
    assert clock.wake_at == 32


@pytest.mark.req("STATUS-05")
@given(DICE)
def test_a_gateway_that_answers_pings_is_never_silent_for_long(dice: float) -> None:
    clock = SessionClock.starting(SETTINGS, 0.0, dice)
    for _ in range(100):
        now = clock.wake_at
        assert now < clock.silent_at
        assert clock.ping_is_due(now)
        assert now - clock.last_seen_at <= 15.001
        clock.last_seen_at = now


@pytest.mark.req("ORCH-06")
@given(
    st.integers(min_value=1, max_value=10_000),
    st.lists(st.tuples(st.floats(min_value=0, max_value=0.5), st.integers(1, 50)), max_size=200),
)
def test_no_more_is_read_than_the_budget_allows(per_second: int, reads: list[tuple[float, int]]) -> None:
    bucket, now, taken = TokenBucket.full(per_second, per_second, math.inf, 0.0), 0.0, 0
    for gap_s, amount in reads:
        now += gap_s
        now += bucket.take(now, amount)
        taken += amount
        # A second's worth in hand at the start; and the one that empties the bucket is through already.
        assert taken <= per_second * (now + 1) + 50.001


@pytest.mark.req("ORCH-06")
def test_a_quiet_gateway_never_waits() -> None:
    bucket = TokenBucket.full(10, 10, math.inf, 0.0)
    assert [bucket.take(second / 5, 1) for second in range(100)] == [0.0] * 100
    assert [bucket.take(20.0, 1) for _ in range(11)][-1] > 0


@pytest.mark.req("ORCH-06")
def test_the_longest_message_is_waited_for_but_not_so_long_that_its_gateway_looks_silent() -> None:
    budget = ReadBudget(SETTINGS, 0.0)
    assert budget.take(0.0, 1, SETTINGS.max_message_bytes - 1) == 0.0
    assert 3.9 < budget.take(0.0, 1, SETTINGS.max_message_bytes) <= 4.0
    assert 3.9 < ReadBudget(SETTINGS, 0.0).take(0.0, 5 * SETTINGS.max_messages_per_s, 0) <= 4.0
    for _ in range(100):
        longest_s = budget.take(0.0, 1_000_000, 100 * SETTINGS.max_message_bytes)
    assert longest_s <= SETTINGS.liveness_timeout_s / 2


@pytest.mark.req("ORCH-06")
def test_a_vibration_reading_a_second_is_no_flood() -> None:
    budget = ReadBudget(SETTINGS, 0.0)
    assert [budget.take(float(second), 5, 300_000) for second in range(100)] == [0.0] * 100
