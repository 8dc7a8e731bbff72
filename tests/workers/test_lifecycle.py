"""Gateways are connected because of their rows and for no other reason."""

import threading
import time
from uuid import UUID

import pytest

from simulator import Credentials, Site
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import EMAIL, PASSWORD, PATIENT
from tests.workers.conftest import SpawnWorker, StartSite, StartWorker


def add_all(testbed: WorkerTestBed, site: Site) -> list[UUID]:
    """Create rows for all gateways of a site."""
    return testbed.add_all([(gateway.gateway_id, gateway.url) for gateway in site.gateways])


def wait_until_connected(testbed: WorkerTestBed, row_ids: list[UUID], timeout_s: float = 10.0) -> None:
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected", timeout_s)


@pytest.mark.req("LIFECYCLE-01")
def test_new_gateway_is_logged_in_within_a_second(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(2)
    start_worker(POLL_INTERVAL_S="60")
    first, second = site.gateways
    wait_until_connected(testbed, [testbed.add(first.gateway_id, first.url)])
    testbed.add(second.gateway_id, second.url)
    second.wait(lambda gateway: gateway.logins == 1, timeout_s=1)


@pytest.mark.req("LIFECYCLE-01")
def test_new_gateway_is_found_without_the_notification(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    testbed.rows("ALTER TABLE gateways DISABLE TRIGGER gateways_notify_changed")
    start_worker()
    wait_until(lambda: testbed.rows("SELECT FROM workers"), what="the worker to register")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")


@pytest.mark.req("LIFECYCLE-02")
@pytest.mark.parametrize("field", ["url", "email", "password"])
def test_new_connection_settings_close_the_session_and_open_another(
    field: str, testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    wait_until_connected(testbed, [row_id])
    new = {"url": f"{gateway.url}/moved", "email": "new@example.com", "password": "a new session"}[field]
    gateway.credentials = Credentials(
        new if field == "email" else EMAIL, new if field == "password" else PASSWORD
    )
    testbed.change(row_id, **{field: new})
    gateway.wait(lambda seen: seen.logins == 2)
    (end,) = gateway.sessions_closed
    assert (end.code, end.by, end.unsubscribed) == (1000, "client", True)
    assert gateway.max_open_sessions == 1
    assert gateway.rejected_logins == 0
    wait_until(lambda: testbed.status(row_id).observed_generation == 2)
    assert "configuration_changed" in {event.reason_code for event in testbed.events(row_id)}


@pytest.mark.req("LIFECYCLE-02")
def test_new_password_reaches_a_gateway_that_waits_for_its_next_attempt(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker(LOGIN_TRIES="1")
    row_id = testbed.add(gateway.gateway_id, gateway.url, password="wrong")
    testbed.wait_for_state(row_id, "auth_failed")
    testbed.change(row_id, password=PASSWORD)
    testbed.wait_for_state(row_id, "connected", timeout_s=2)


@pytest.mark.req("LIFECYCLE-02", "CRYPTO-02")
def test_the_same_password_again_leaves_the_session_alone(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    wait_until_connected(testbed, [row_id])
    for generation in (2, 3):
        testbed.change(row_id, password=PASSWORD, url=gateway.url)
        wait_until(lambda wanted=generation: testbed.status(row_id).observed_generation == wanted)  # type: ignore[misc]
    assert (gateway.logins, gateway.sessions_closed) == (1, [])
    assert testbed.status(row_id).state == "connected"
    # Another password, sealed again, does change it.
    gateway.credentials = Credentials(EMAIL, "another")
    testbed.change(row_id, password="another")
    gateway.wait(lambda seen: seen.logins == 2)
    wait_until(lambda: testbed.status(row_id).observed_generation == 4)


@pytest.mark.req("LIFECYCLE-02")
def test_the_same_password_again_retries_a_rejected_login_immediately(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    gateway.credentials = Credentials(EMAIL, "not yet")
    start_worker(LOGIN_TRIES="1")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "auth_failed")
    gateway.credentials = Credentials(EMAIL, PASSWORD)
    testbed.change(row_id, password=PASSWORD)
    testbed.wait_for_state(row_id, "connected", timeout_s=2)


@pytest.mark.req("LIFECYCLE-02")
def test_new_name_leaves_the_session_alone(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(2)
    start_worker()
    row_id, other_id = add_all(testbed, site)
    wait_until_connected(testbed, [row_id, other_id])
    testbed.change(row_id, name="Press hall 2", metadata='{"line": 4}', set_model=True, model="X")
    # A later change that has an effect: after it, the earlier one has been handled.
    testbed.disconnect(other_id)
    testbed.wait_for_state(other_id, "disconnected")
    assert site.gateways[0].sessions_closed == []
    assert (site.gateways[0].logins, site.gateways[0].open_sessions) == (1, 1)


@pytest.mark.req("LIFECYCLE-03")
def test_session_of_a_deleted_gateway_is_closed_cleanly(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    worker = start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    wait_until_connected(testbed, [row_id])
    testbed.delete(row_id)
    gateway.wait(lambda seen: len(seen.sessions_closed) == 1, timeout_s=5)
    (end,) = gateway.sessions_closed
    assert (end.code, end.by, end.unsubscribed) == (1000, "client", True)
    wait_until(lambda: worker.registry.find(row_id) is None and testbed.is_free(row_id))
    assert gateway.violations == []
    assert gateway.attempts == 1


@pytest.mark.req("LIFECYCLE-03")
def test_deleted_frozen_gateway_is_forgotten_within_five_seconds(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    worker = start_worker(**PATIENT, CLOSE_TIMEOUT_S="3")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    wait_until_connected(testbed, [row_id])
    gateway.freeze()
    testbed.delete(row_id)
    wait_until(lambda: worker.registry.find(row_id) is None, timeout_s=5, what="the gateway to be forgotten")
    assert f"gateway-{gateway.gateway_id}" not in {thread.name for thread in threading.enumerate()}
    assert testbed.is_free(row_id)


@pytest.mark.req("LIFECYCLE-03")
def test_sessions_of_a_deleted_factory_are_closed(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    wait_until_connected(testbed, [row_id])
    testbed.rows("UPDATE factories SET deleted_at = now()")
    gateway.wait(lambda seen: len(seen.sessions_closed) == 1, timeout_s=5)


@pytest.mark.req("LIFECYCLE-04", "STATUS-03")
def test_graceful_restart_connects_all_again_but_for_the_disconnected(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker
) -> None:
    site = start_site(4)
    before = spawn_worker()
    *row_ids, resting = add_all(testbed, site)
    wait_until_connected(testbed, [*row_ids, resting])
    testbed.disconnect(resting)
    assert testbed.wait_for_state(resting, "disconnected").reason_code == "requested"
    assert before.terminate() == 0
    assert [gateway.open_sessions for gateway in site.gateways] == [0] * 4
    ends = [end for gateway in site.gateways for end in gateway.sessions_closed]
    assert {(end.code, end.unsubscribed) for end in ends} == {(1000, True)}
    assert testbed.status(row_ids[0]).reason_code == "no_worker"
    spawn_worker()
    wait_until_connected(testbed, row_ids)
    assert [gateway.logins for gateway in site.gateways] == [2, 2, 2, 1]
    assert site.summary()["max_open_sessions"] == 1
    assert testbed.status(resting).state == "disconnected"
    testbed.connect(resting)
    testbed.wait_for_state(resting, "connected")


@pytest.mark.req("LIFECYCLE-05", "STATUS-03")
def test_crash_connects_all_again_but_for_the_disconnected(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker
) -> None:
    site = start_site(4)
    before = spawn_worker()
    *row_ids, resting = add_all(testbed, site)
    wait_until_connected(testbed, [*row_ids, resting])
    testbed.disconnect(resting)
    testbed.wait_for_state(resting, "disconnected")
    before.kill()
    spawn_worker()
    site.wait(lambda seen: seen.summary()["logins"] == 7, timeout_s=10)
    wait_until_connected(testbed, row_ids)
    assert [gateway.logins for gateway in site.gateways] == [2, 2, 2, 1]
    assert site.summary()["max_open_sessions"] == 1
    assert testbed.status(resting).state == "disconnected"
    steps = [(event.from_state, event.to_state, event.reason_code) for event in testbed.events(row_ids[0])]
    assert ("connected", "unknown", "worker_lost") in steps
    assert ("unknown", "disconnected", "worker_lost") in steps


@pytest.mark.req("ORCH-01", "ORCH-03")
def test_worker_reads_the_active_gateways_at_its_start_and_gives_each_a_thread(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(3, prefix="one-thread-")
    row_ids = add_all(testbed, site)
    deleted = testbed.add("one-thread-deleted", site.gateways[0].url)
    testbed.delete(deleted)
    worker = start_worker()
    wait_until_connected(testbed, row_ids)
    expected = sorted(f"gateway-{gateway.gateway_id}" for gateway in site.gateways)
    named = sorted(name for thread in threading.enumerate() if "one-thread" in (name := thread.name))
    assert named == expected
    assert worker.registry.ids() == set(row_ids)
    worker.stop()
    assert [thread.name for thread in threading.enumerate() if "one-thread" in thread.name] == []


@pytest.mark.req("STATUS-03")
def test_disconnect_is_clean_and_idempotent(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    wait_until_connected(testbed, [row_id])
    testbed.disconnect(row_id)
    testbed.disconnect(row_id)
    status = testbed.wait_for_state(row_id, "disconnected")
    assert (status.reason_code, status.desired_state) == ("requested", "disconnected")
    (end,) = gateway.sessions_closed
    assert (end.code, end.unsubscribed) == (1000, True)
    assert status.last_disconnected_at is not None


@pytest.mark.req("STATUS-02")
def test_connect_ends_the_quarantine_of_credentials_and_touches_no_good_session(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    gateway.credentials = Credentials(EMAIL, "something else")
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "auth_failed")
    assert gateway.rejected_logins == 3
    gateway.credentials = Credentials(EMAIL, PASSWORD)
    testbed.connect(row_id)
    testbed.wait_for_state(row_id, "connected", timeout_s=2)
    generation = testbed.status(row_id).generation
    testbed.connect(row_id)
    testbed.change(row_id, name="looked at")
    assert testbed.status(row_id).generation == generation
    seen_at = testbed.status(row_id).last_seen_at
    wait_until(lambda: testbed.status(row_id).last_seen_at != seen_at)
    assert (gateway.logins, gateway.sessions_closed) == (1, [])


@pytest.mark.req("STATUS-02")
def test_connect_does_not_wait_for_the_next_attempt(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site()
    gateway = site.gateways[0]
    site.stop_listening()
    # Jitter may make the first backoffs short; soon they are a quarter of an hour.
    start_worker(BACKOFF_INITIAL_S="900", BACKOFF_MAX_S="900")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "retrying")
    site.start_listening()
    testbed.connect(row_id)
    testbed.wait_for_state(row_id, "connected", timeout_s=2)


@pytest.mark.req("STATUS-05")
def test_last_seen_is_set_on_connect_and_kept_fresh_by_pongs_alone(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    status = testbed.wait_for_state(row_id, "connected")
    assert status.last_seen_at is not None
    assert status.last_connected_at is not None
    assert abs((status.last_seen_at - status.last_connected_at).total_seconds()) < 1
    seen = {status.last_seen_at}
    deadline = time.monotonic() + 10
    while len(seen) < 4 and time.monotonic() < deadline:
        status = testbed.status(row_id)
        assert status.last_seen_at is not None
        # The delay of a pong, FRESHNESS_S and a report on a busy machine.
        assert (status.as_of - status.last_seen_at).total_seconds() < 2
        seen.add(status.last_seen_at)
    assert len(seen) == 4
    assert status.last_message_at is None


@pytest.mark.req("STATUS-05")
def test_messages_are_counted_and_timed(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    wait_until_connected(testbed, [row_id])
    for _ in range(5):
        assert gateway.send({"Type": "NOT_DYN_TEMP", "From": "SERV", "Target": "UI", "Data": {}}) == 1
    counted = "SELECT FROM gateway_connections WHERE messages_received = 5 AND last_message_at IS NOT NULL"
    wait_until(lambda: testbed.rows(counted), what="five messages to be counted")
