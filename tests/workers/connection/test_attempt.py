"""The effect of an attempt's end on the next one: backoff, suspicion of hanging, flapping."""

from itertools import product

import pytest

from workers.gateway_manager.connection.attempt import ConnectionRecord, Ending, after_attempt
from workers.gateway_manager.connection.backoff import AttemptHistory, BackoffPolicy

pytestmark = pytest.mark.req("ORCH-04")
POLICY = BackoffPolicy(
    initial_s=1, maximum_s=45, good_after_s=60, login_tries=3, login_retry_s=5, login_quarantine_s=900
)
BEFORE = ConnectionRecord(AttemptHistory(failures=4, rejections=2))


def after(
    ending: Ending, *, outlasted_slot: bool = False, session_s: float | None = None
) -> ConnectionRecord:
    return after_attempt(POLICY, BEFORE, ending, outlasted_slot=outlasted_slot, session_s=session_s)


def test_only_a_rejection_without_a_session_counts_as_a_rejection() -> None:
    assert after(Ending.REJECTED).history == AttemptHistory(failures=5, rejections=3)
    assert after(Ending.REJECTED, session_s=1).history == AttemptHistory(failures=5, rejections=0)
    assert after(Ending.FAILED).history == AttemptHistory(failures=5, rejections=2)


@pytest.mark.parametrize("ending", [Ending.ABANDONED, Ending.CRASHED])
def test_an_abandoned_or_crashed_attempt_counts_as_one_failure(ending: Ending) -> None:
    record = after(ending, outlasted_slot=True)
    assert record.history == AttemptHistory(failures=5, rejections=2)
    assert (record.is_unresponsive, record.was_stable) == (BEFORE.is_unresponsive, BEFORE.was_stable)


def test_a_gateway_is_unresponsive_if_it_outlasted_its_slot_without_connecting() -> None:
    unresponsive = {
        (outlasted, session_s)
        for outlasted, session_s in product([False, True], [None, 0.5, 61.0])
        if after(Ending.FAILED, outlasted_slot=outlasted, session_s=session_s).is_unresponsive
    }
    assert unresponsive == {(True, None)}


def test_a_session_that_has_lasted_is_stable_and_resets_the_failures() -> None:
    short, long = after(Ending.FAILED, session_s=59), after(Ending.FAILED, session_s=60)
    assert (short.was_stable, short.history.failures) == (False, 5)
    assert (long.was_stable, long.history.failures) == (True, 1)
    assert after(Ending.FAILED).was_stable is BEFORE.was_stable
