"""A failed renewal extends nothing unless it proves that no other worker can take over."""

from itertools import product

import pytest

from workers.gateway_manager.lease.expiry import Evidence, evidence_of_failure

pytestmark = pytest.mark.req("LIFECYCLE-05")


def test_an_answer_counts_only_on_a_registered_session_of_a_server_that_tracks_activity() -> None:
    answered = [
        values
        for values in product([False, True], repeat=5)
        if evidence_of_failure(
            is_connected=values[0],
            was_answered=values[1],
            is_registered=values[2],
            tracks_activity=values[3],
            is_refused=values[4],
        )
        is Evidence.ANSWERED
    ]
    assert answered == [(True, True, True, True, False), (True, True, True, True, True)]


@pytest.mark.parametrize("is_refused", [False, True])
def test_without_a_connection_only_a_refusal_counts(is_refused: bool) -> None:
    evidence = evidence_of_failure(
        is_connected=False, was_answered=True, is_registered=True, tracks_activity=True, is_refused=is_refused
    )
    assert evidence is (Evidence.REFUSED if is_refused else Evidence.NONE)
