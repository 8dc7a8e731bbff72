"""Backoffs: within bounds, with jitter, and long for rejected credentials."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.gateway_manager.connection.backoff import (
    AttemptHistory,
    BackoffPolicy,
    after_failure,
    after_rejection,
    delay_s,
    is_quarantined,
)

pytestmark = pytest.mark.req("ORCH-04")
POLICY = BackoffPolicy(
    initial_s=1, maximum_s=60, good_after_s=60, login_tries=3, login_retry_s=5, login_quarantine_s=900
)
DICE = st.floats(min_value=0, max_value=1, exclude_max=True)
COUNTS = st.integers(min_value=0, max_value=10**6)


@given(COUNTS, DICE)
def test_a_backoff_is_within_its_bounds(failures: int, random_fraction: float) -> None:
    ceiling_s = min(60, 2 ** min(max(failures - 1, 0), 10))
    pause_s = delay_s(POLICY, AttemptHistory(failures), random_fraction)
    assert pause_s == pytest.approx(ceiling_s * random_fraction)
    assert 0 <= pause_s < 60 + 1e-9


@given(COUNTS, st.integers(min_value=1, max_value=2), DICE)
def test_rejected_credentials_wait_at_least_the_login_retry_time(
    failures: int, rejections: int, random_fraction: float
) -> None:
    assert 5 <= delay_s(POLICY, AttemptHistory(failures, rejections), random_fraction) <= 60


@given(COUNTS, st.integers(min_value=3, max_value=10**6), DICE)
def test_credentials_that_stay_rejected_are_quarantined(
    failures: int, rejections: int, random_fraction: float
) -> None:
    record = AttemptHistory(failures, rejections)
    assert is_quarantined(POLICY, record)
    assert 60 <= delay_s(POLICY, record, random_fraction) <= 900


def test_backoffs_of_a_quarantine_grow_up_to_its_length() -> None:
    """A login may also be rejected because no session is free, which passes within minutes."""
    record, pauses = AttemptHistory(), []
    for _ in range(9):
        record = after_rejection(record)
        pauses.append(delay_s(POLICY, record, random_fraction=0))
    assert pauses == [5, 5, 60, 120, 240, 480, 900, 900, 900]


@pytest.mark.parametrize("longest_s", [0.2, 30, 60])
def test_no_backoff_exceeds_the_quarantine(longest_s: float) -> None:
    policy = replace(POLICY, login_quarantine_s=longest_s)
    assert {delay_s(policy, AttemptHistory(0, rejections), 0) for rejections in range(3, 20)} == {longest_s}


def test_the_ceiling_doubles() -> None:
    record, ceilings = AttemptHistory(), []
    for _ in range(9):
        record = after_failure(POLICY, record, connected_for_s=0)
        ceilings.append(delay_s(POLICY, record, 0.5) * 2)
    assert ceilings == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_three_rejections_quarantine_despite_other_failures_in_between() -> None:
    record = after_rejection(after_rejection(AttemptHistory()))
    assert not is_quarantined(POLICY, record)
    record = after_failure(POLICY, record, connected_for_s=0)
    assert not is_quarantined(POLICY, record)
    assert is_quarantined(POLICY, after_rejection(record))


@given(COUNTS, COUNTS, st.floats(min_value=0.001, max_value=59.9))
def test_a_short_session_clears_rejections_but_not_failures(
    failures: int, rejections: int, lasted_s: float
) -> None:
    assert after_failure(POLICY, AttemptHistory(failures, rejections), lasted_s) == AttemptHistory(
        failures + 1, 0
    )


@given(COUNTS, COUNTS, st.floats(min_value=60, max_value=1e9))
def test_a_stable_session_resets_the_count(failures: int, rejections: int, lasted_s: float) -> None:
    assert after_failure(POLICY, AttemptHistory(failures, rejections), lasted_s) == AttemptHistory(1, 0)
