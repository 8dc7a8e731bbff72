"""A password is decrypted to log in, and shown nowhere: not in logs, history, states, or errors."""

import base64
import subprocess
from urllib.parse import urlsplit

import pytest

from simulator import Credentials, Fault
from tests.support.secret_forms import forms_in
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import EMAIL, KEY
from tests.workers.conftest import SpawnWorker, StartSite

MARKER = 'Zq7-"marker"-\N{GREEK SMALL LETTER PI}\\-%41'


def shown(testbed: WorkerTestBed) -> str:
    """Return everything that workers wrote into the database."""
    tables = ("gateway_events", "gateway_connections", "workers", "gateway_statuses")
    return "\n".join(str(testbed.rows(f"SELECT * FROM {table}")) for table in tables)  # noqa: S608


@pytest.mark.req("CRYPTO-02", "GATEWAY-06", "GATEWAY-07")
def test_password_is_in_no_log_and_in_no_observation(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker
) -> None:
    site = start_site(4)
    well, echoing, rejecting, garbled = site.gateways
    for gateway in site.gateways:
        gateway.credentials = Credentials(EMAIL, MARKER)
    rejecting.fault(Fault.ERROR_LOGIN)
    garbled.fault(Fault.NOT_JSON, phase="login")
    worker = spawn_worker(LOG_LEVEL="debug")
    row_ids = [testbed.add(gateway.gateway_id, gateway.url, password=MARKER) for gateway in site.gateways]
    well_id, echoing_id, rejecting_id, garbled_id = row_ids
    testbed.wait_for_state(well_id, "connected")
    testbed.wait_for_state(echoing_id, "connected")
    error = {"Attempt": "POST_SUB_CHANGES", "Error": f"{EMAIL} with {MARKER} may not"}
    echoing.send({"Type": "RTN_ERR", "From": "SERV", "Target": "UI", "Data": dict(error)})
    well.send({"Type": MARKER, "From": "SERV", "Target": "UI", "Data": MARKER})
    well.drop("close", 1011, reason=MARKER)
    testbed.wait_for_state(rejecting_id, "auth_failed")
    for row_id, code in (
        (echoing_id, "subscribe_rejected"),
        (garbled_id, "protocol_error"),
        (well_id, "closed_by_gateway"),
    ):
        wait_until(lambda i=row_id, c=code: c in {event.reason_code for event in testbed.events(i)})  # type: ignore[misc]
    assert worker.terminate() == 0

    sealed = [bytes(row.sealed_password) for row in testbed.rows("SELECT sealed_password FROM gateways")]
    database_password = urlsplit(testbed.database_url).password or ""
    written, log = shown(testbed), worker.log
    assert "gateway connected" in log, "the test is void: the worker logged no session"
    assert "… with … may not" in written, "the test is void: the gateway's words are not in the history"
    for text in (written, log):
        assert forms_in(text, MARKER) == []
        assert forms_in(text, EMAIL) == []
        assert KEY not in text
        assert database_password not in text
        for value in sealed:
            assert value.hex() not in text
            assert base64.b64encode(value).decode() not in text
            assert repr(value)[2:-1] not in text


@pytest.mark.req("GATEWAY-07")
def test_undecryptable_password_is_reported_without_being_shown(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker
) -> None:
    gateway, other = start_site(2).gateways
    worker = spawn_worker(LOG_LEVEL="debug")
    row_id = testbed.add(gateway.gateway_id, gateway.url, password=MARKER)
    other_id = testbed.add(other.gateway_id, other.url)
    # A value copied from another row.
    testbed.rows(
        "UPDATE gateways SET sealed_password = (SELECT sealed_password FROM gateways WHERE id = %s)"
        " WHERE id = %s",
        row_id,
        other_id,
    )
    wait_until(
        lambda: "password_unreadable" in {event.reason_code for event in testbed.events(other_id)},
        what="the reason to be shown",
    )
    assert other.logins + other.rejected_logins <= 1
    assert worker.terminate() == 0
    assert forms_in(worker.log + shown(testbed), MARKER) == []


@pytest.mark.req("CRYPTO-03", "QUAL-06")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode()}, "not the key"),
        ({"ENCRYPTION_KEY": base64.b64encode(b"k" * 31).decode()}, "must be 32 bytes"),
        ({"ENCRYPTION_KEY": "*** no base64 ***"}, "not base64"),
        ({"ENCRYPTION_KEY": ""}, "not set"),
        ({"HEARTBEAT_S": "1"}, "LEASE_S must be at least"),
        ({"PING_INTERVAL_S": "fifteen"}, "PING_INTERVAL_S"),
    ],
    ids=["another", "too-short", "malformed", "absent", "lease", "no-number"],
)
def test_wrong_setting_stops_the_start_with_one_line(
    changes: dict[str, str], words: str, testbed: WorkerTestBed, spawn_worker: SpawnWorker
) -> None:
    first = spawn_worker()
    wait_until(lambda: testbed.rows("SELECT FROM workers"), 10, "a worker that has stored the key check")
    assert first.terminate() == 0
    before = len(first.log)
    worker = spawn_worker(**changes)
    try:
        assert worker.process.wait(10) == 1
    except subprocess.TimeoutExpired:
        pytest.fail("the worker did not stop")
    lines = worker.log[before:].splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("millgate worker: ")
    assert words in lines[0]
    assert not changes.get("ENCRYPTION_KEY") or changes["ENCRYPTION_KEY"] not in lines[0]
