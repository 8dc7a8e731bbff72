"""Limits on the input read from one gateway."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.worker_settings import worker_config
from workers.gateway_manager.websocket.read_budget import ReadBudget, TokenBucket

SETTINGS = worker_config(
    "postgresql://nobody@127.0.0.1:1/x", PING_INTERVAL_S="15", LIVENESS_TIMEOUT_S="25"
).session


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
        # A burst of one second at the start; the message that empties the bucket is already read.
        assert taken <= per_second * (now + 1) + 50.001


@pytest.mark.req("ORCH-06")
def test_a_quiet_gateway_never_waits() -> None:
    bucket = TokenBucket.full(10, 10, math.inf, 0.0)
    assert [bucket.take(second / 5, 1) for second in range(100)] == [0.0] * 100
    assert [bucket.take(20.0, 1) for _ in range(11)][-1] > 0


@pytest.mark.req("ORCH-06")
def test_the_longest_message_is_read_before_its_gateway_looks_silent() -> None:
    budget = ReadBudget(SETTINGS, 0.0)
    assert budget.take(0.0, 1, SETTINGS.max_message_bytes - 1) == 0.0
    assert 3.9 < budget.take(0.0, 1, SETTINGS.max_message_bytes) <= 4.0
    assert 3.9 < ReadBudget(SETTINGS, 0.0).take(0.0, 5 * SETTINGS.max_messages_per_s, 0) <= 4.0
    for _ in range(100):
        longest_s = budget.take(0.0, 1_000_000, 100 * SETTINGS.max_message_bytes)
    assert longest_s <= SETTINGS.liveness_timeout_s / 2


@pytest.mark.req("ORCH-06")
def test_one_vibration_reading_per_second_is_within_the_budget() -> None:
    budget = ReadBudget(SETTINGS, 0.0)
    assert [budget.take(float(second), 5, 300_000) for second in range(100)] == [0.0] * 100
