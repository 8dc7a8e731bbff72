"""PostgreSQL is stopped and started under a running worker: sessions stay, and no state is lost."""

import os
import signal
from collections.abc import Iterator
from time import monotonic

import pytest

from devstack.postgres.server import EmbeddedPostgres
from service.gateway_states import State
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.workers.conftest import StartSite
from workers.gateway_manager.lease.watchdog_process import lease_clock

RECOVERY_S = 2.0
LEASE_S = 4.0


@pytest.fixture
def own_testbed(own_postgres: EmbeddedPostgres) -> Iterator[WorkerTestBed]:
    """Yield a test bed on a server that the test may stop."""
    with WorkerTestBed(own_postgres.url()) as testbed:
        yield testbed


@pytest.fixture
def own_worker(own_postgres: EmbeddedPostgres, own_testbed: WorkerTestBed) -> Iterator[ThreadedWorker]:
    """Start a worker on that server."""
    # A lease that survives a slow start of the server on a busy machine.
    worker = ThreadedWorker(own_postgres.url(), {"LEASE_S": str(LEASE_S), "HEARTBEAT_S": "0.5"})
    yield worker
    worker.stop()


@pytest.mark.req("GATEWAY-08", "STATUS-01")
def test_sessions_survive_a_database_outage_and_states_become_correct_again(
    own_postgres: EmbeddedPostgres,
    own_testbed: WorkerTestBed,
    own_worker: ThreadedWorker,
    start_site: StartSite,
) -> None:
    testbed, worker = own_testbed, own_worker
    site = start_site(4)
    steady, dropped, lost, _ = site.gateways
    ids = testbed.add_all([(gateway.gateway_id, gateway.url) for gateway in site.gateways])
    steady_id, dropped_id, lost_id, _ = ids
    for row_id in ids:
        testbed.wait_for_state(row_id, "connected")

    own_postgres.stop()
    last_renewal_until = lease_clock() + LEASE_S
    dropped.drop("rst")
    dropped.wait(lambda gateway: gateway.logins == 2)
    lost.stop_listening()
    lost.drop("close", 1011)
    wait_until(lambda: worker.state(lost_id) in {State.RETRYING, State.CONNECTING})
    # For longer than a whole lease: a database that refuses connections serves no other worker either.
    wait_until(lambda: lease_clock() > last_renewal_until + 0.5, timeout_s=7, what="a lease's time to pass")
    assert worker.worker._lease.worker is not None
    assert [gateway.logins for gateway in site.gateways] == [1, 2, 1, 1]
    assert steady.open_sessions == dropped.open_sessions == 1

    own_postgres.start()
    returned = monotonic()
    # The test's own pool has to reconnect, too.
    status = "SELECT state FROM gateway_statuses WHERE id = %s"

    def shown() -> list[str]:
        return [testbed.rows(status, row_id)[0].state for row_id in (steady_id, dropped_id, lost_id)]

    def as_they_are() -> bool:
        steady_state, dropped_state, lost_state = shown()
        return steady_state == dropped_state == "connected" and lost_state in {"retrying", "connecting"}

    wait_until(as_they_are, RECOVERY_S, "the states to be right")
    of_drop = [(event.from_state, event.to_state, event.reason_code) for event in testbed.events(dropped_id)]
    assert ("connected", "retrying", "connection_lost") in of_drop
    assert of_drop[-1][:2] == ("authenticating", "connected")
    history = [(event.from_state, event.to_state, event.reason_code) for event in testbed.events(lost_id)]
    assert ("connected", "retrying", "closed_by_gateway") in history
    assert monotonic() - returned < RECOVERY_S + 1

    # Desired states are followed again.
    lost.start_listening()
    testbed.rows("UPDATE gateways SET desired_state = 'disconnected' WHERE id = %s", steady_id)
    steady.wait(lambda gateway: gateway.open_sessions == 0, timeout_s=RECOVERY_S)
    lost.wait(lambda gateway: gateway.logins == 2, timeout_s=RECOVERY_S)
    assert [len(gateway.sessions_closed) for gateway in site.gateways] == [1, 1, 1, 0]
    assert site.summary()["max_open_sessions"] == 1


@pytest.mark.req("GATEWAY-08")
def test_worker_waits_for_its_database_at_the_start(
    own_postgres: EmbeddedPostgres, own_testbed: WorkerTestBed, start_site: StartSite
) -> None:
    gateway = start_site().gateways[0]
    own_testbed.add(gateway.gateway_id, gateway.url)
    own_postgres.stop()
    worker = ThreadedWorker(own_postgres.url(), {})
    try:
        own_postgres.start()
        gateway.wait(lambda seen: seen.open_sessions == 1, timeout_s=8)
    finally:
        worker.stop()


@pytest.mark.req("GATEWAY-08", "STATUS-01")
@pytest.mark.parametrize("how", ["killed", "sessions ended"])
def test_sessions_survive_a_silent_database_outage(
    how: str,
    own_postgres: EmbeddedPostgres,
    own_testbed: WorkerTestBed,
    own_worker: ThreadedWorker,
    start_site: StartSite,
) -> None:
    testbed, site = own_testbed, start_site(3)
    ids = testbed.add_all([(gateway.gateway_id, gateway.url) for gateway in site.gateways])
    for row_id in ids:
        testbed.wait_for_state(row_id, "connected")
    held_by = own_worker.worker._lease.worker
    if how == "killed":
        os.kill(own_postgres.pid, signal.SIGKILL)
        wait_until(lambda: own_postgres.exit_code() is not None)
        own_postgres.stop()
        own_postgres.start()
    else:
        testbed.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    status = "SELECT state FROM gateway_statuses ORDER BY id"

    def shown() -> list[str]:
        return [row.state for row in testbed.rows(status)]

    # As soon as the lease's session is back.
    wait_until(lambda: shown() == ["connected"] * 3, RECOVERY_S, "the states to be right")
    site.gateways[0].drop("rst")
    site.gateways[0].wait(lambda gateway: gateway.logins == 2 and gateway.open_sessions == 1)
    wait_until(lambda: [e.to_state for e in testbed.events(ids[0])][-1] == "connected", RECOVERY_S)
    assert own_worker.worker._lease.worker == held_by
    seen = site.summary()
    assert (seen["logins"], seen["sessions_closed"], seen["max_open_sessions"]) == (4, 1, 1)
