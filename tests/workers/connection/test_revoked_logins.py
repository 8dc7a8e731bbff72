"""A gateway that accepts a login and revokes it, immediately or during the session."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.raw_server import Peer, RawServer
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.workers.connection_tests import put, result_of
from tests.support.workers.hostile_gateways import UNHURRIED, message
from tests.workers.conftest import StartWorker

pytestmark = pytest.mark.req("ORCH-06")
ACCEPTED = message("RTN_LOGIN", {"Success": True})
TAKEN_BACK = [
    pytest.param(message("RTN_LOGIN", {"Success": False}), "revoked the login.", id="answer"),
    pytest.param(
        message("RTN_ERR", {"Attempt": "POST_LOGIN", "Error": "session expired"}),
        "revoked the login: session expired.",
        id="error",
    ),
]


@dataclass(frozen=True)
class Fickle:
    """Accepts and revokes a login, in one segment or after another message."""

    refusal: bytes
    at_once: bool

    def __call__(self, peer: Peer) -> None:
        peer.receive()
        if self.at_once:
            peer.send(ACCEPTED + self.refusal)
        else:
            peer.send(ACCEPTED)
            peer.receive()
            peer.send(message("NOT_AP_CONN", {"Serial": 1, "Connected": 1}))
            peer.receive()  # a ping: the session has lasted for some time
            peer.send(self.refusal)
        while True:
            peer.receive()


def failures(testbed: WorkerTestBed, row_id: Any, count: int) -> list[Any]:
    def so_many() -> list[Any]:
        found = [event for event in testbed.events(row_id) if event.reason_code is not None]
        return found if len(found) >= count else []

    return wait_until(so_many, 15, f"{count} failures")


@pytest.mark.parametrize(("refusal", "words"), TAKEN_BACK)
def test_a_login_revoked_immediately_counts_as_rejected(
    refusal: bytes, words: str, testbed: WorkerTestBed, start_worker: StartWorker
) -> None:
    start_worker(**UNHURRIED, LOGIN_TRIES="2")
    with RawServer(Fickle(refusal, at_once=True)) as server:
        row_id = testbed.add("fickle", server.url)
        first, second = failures(testbed, row_id, 2)[:2]
        testbed.delete(row_id)
    assert (first.reason_code, first.reason_phase) == ("login_rejected", "login")
    assert words in first.reason_message
    assert (first.from_state, first.to_state, second.to_state) == (
        "authenticating",
        "retrying",
        "auth_failed",
    )


@pytest.mark.parametrize(("refusal", "words"), TAKEN_BACK)
def test_a_connection_test_reports_a_revoked_login(
    refusal: bytes, words: str, testbed: WorkerTestBed, start_worker: StartWorker
) -> None:
    start_worker(**{**UNHURRIED, "SUBSCRIBE_GRACE_S": "3"})
    with RawServer(Fickle(refusal, at_once=True)) as server:
        failure = result_of(testbed, put(testbed, server.url))["failure"]
    assert (failure["step"], failure["code"]) == ("subscribe", "login_rejected")
    assert words in failure["message"]


@pytest.mark.parametrize(("refusal", "words"), TAKEN_BACK)
def test_a_login_revoked_later_ends_the_session_without_blaming_the_credentials(
    refusal: bytes, words: str, testbed: WorkerTestBed, start_worker: StartWorker
) -> None:
    start_worker(**UNHURRIED, LOGIN_TRIES="1")
    with RawServer(Fickle(refusal, at_once=False)) as server:
        row_id = testbed.add("fickle", server.url)
        for event in failures(testbed, row_id, 2):
            assert (event.from_state, event.to_state) == ("connected", "retrying")
            assert (event.reason_code, event.reason_phase) == ("login_rejected", "login")
            assert words in event.reason_message
        testbed.delete(row_id)
