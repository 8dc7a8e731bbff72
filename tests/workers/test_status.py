"""The status is correct: soon after a change, for a dead or frozen worker, and over hundreds of changes."""

import datetime as dt
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from uuid import UUID

import psycopg
import pytest

from service.database.engine.pool import ConnectionExecutor
from service.database.observed.workers import WorkerRepository
from service.gateway_states import State
from simulator import Fault, Gateway
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.workers.conftest import SpawnWorker, StartSite, StartWorker

TRANSITIONS = 300
BLOCKED = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.req("STATUS-01")
def test_dead_worker_is_noticed_before_its_lease_ends(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker
) -> None:
    gateway = start_site().gateways[0]
    worker = spawn_worker(LEASE_S="60")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    worker.kill()
    status = testbed.wait_for_state(row_id, "unknown", timeout_s=2)
    assert status.reason_code == "worker_lost"
    assert status.connected_since is None
    assert status.last_seen_at is not None


@pytest.mark.req("STATUS-01")
def test_frozen_worker_is_unknown_once_its_lease_ends(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker
) -> None:
    gateway = start_site().gateways[0]
    worker = spawn_worker(LEASE_S="2")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    worker.send_to_all(signal.SIGSTOP)
    status = testbed.wait_for_state(row_id, "unknown", timeout_s=3)
    expiry = status.worker_lease_expires_at
    assert expiry is not None
    assert status.as_of > expiry
    wait_until(lambda: testbed.status(row_id).as_of > expiry + dt.timedelta(seconds=0.5))
    # It finds its lease lost, disconnects, and starts again under a new one.
    worker.send_to_all(signal.SIGCONT)
    gateway.wait(lambda seen: seen.logins == 2 and seen.open_sessions == 1, timeout_s=8)
    wait_until(lambda: testbed.events(row_id)[-1].to_state == "connected" and len(testbed.events(row_id)) > 3)
    assert gateway.max_open_sessions == 1
    assert "lease lost" in worker.log
    lost = [(event.from_state, event.to_state) for event in testbed.events(row_id) if event.reason_code]
    assert lost == [("connected", "unknown"), ("unknown", "disconnected")]
    assert len({event.epoch for event in testbed.events(row_id)}) == 2
    assert_history_is_whole(testbed, [row_id])


@pytest.mark.req("STATUS-01")
def test_lost_connection_shows_within_a_second(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    start_worker(BACKOFF_INITIAL_S="60", BACKOFF_MAX_S="60")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    gateway.stop_listening()
    gateway.drop("rst")
    began = monotonic()
    wait_until(lambda: testbed.status(row_id).state != "connected", timeout_s=1)
    assert monotonic() - began < 1
    status = testbed.wait_for_state(row_id, "retrying")
    assert status.reason_code in {"connection_lost", "connection_refused"}
    assert status.next_attempt_at is not None
    assert status.connected_since is None
    assert status.last_disconnected_at is not None


@pytest.mark.req("STATUS-01")
def test_gateway_without_a_worker_shows_it(testbed: WorkerTestBed, start_site: StartSite) -> None:
    gateway = start_site().gateways[0]
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    status = testbed.status(row_id)
    assert (status.state, status.reason_code, status.worker_id) == ("disconnected", "no_worker", None)


@pytest.mark.req("STATUS-01", "STATUS-04")
def test_desired_state_changed_during_the_claim_frees_the_gateway(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    """Between a claim and the read of the claimed rows, the desired state may change."""
    gateway = start_site().gateways[0]
    # Another transaction may do this at any time; inside the claim's own there is no race.
    testbed.rows("""
        CREATE FUNCTION take_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE gateways SET desired_state = 'disconnected' WHERE id = NEW.gateway_id;
            RETURN NULL;
        END $$
    """)
    testbed.rows("""
        CREATE TRIGGER take_back AFTER INSERT ON gateway_connections
        FOR EACH ROW EXECUTE FUNCTION take_back()
    """)
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    worker = start_worker()
    claimed = "SELECT FROM gateway_connections WHERE gateway_id = %s"
    wait_until(
        lambda: testbed.rows(claimed, row_id) and testbed.is_free(row_id), what="the gateway to be free"
    )
    assert_disconnected_on_request(testbed, row_id)
    assert worker.registry.find(row_id) is None
    assert gateway.attempts == 0
    assert testbed.events(row_id) == []
    testbed.connect(row_id)
    testbed.wait_for_state(row_id, "connected")


@pytest.mark.req("STATUS-01")
def test_unwanted_gateway_leaves_the_queue(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    """It never left the queue; showing it as queued would be wrong."""
    silent, queued = start_site(2).gateways
    silent.fault(Fault.SILENT_UPGRADE)
    worker = start_worker(MAX_HANDSHAKES="1", UPGRADE_TIMEOUT_S="60")
    silent_id = testbed.add(silent.gateway_id, silent.url)
    testbed.wait_for_state(silent_id, "connecting")
    row_id = testbed.add(queued.gateway_id, queued.url)
    wait_until(lambda: worker.state(row_id) is State.DISCONNECTED, what="the gateway to be in the queue")
    assert testbed.status(row_id).reason_code == "queued"
    testbed.disconnect(row_id)
    wait_until(lambda: testbed.is_free(row_id), what="the gateway to be free")
    assert_disconnected_on_request(testbed, row_id)
    assert queued.attempts == 0


def assert_disconnected_on_request(testbed: WorkerTestBed, row_id: UUID) -> None:
    """Assert a disconnected status with reason requested."""
    status = testbed.status(row_id)
    assert (status.desired_state, status.state, status.reason_code) == (
        "disconnected",
        "disconnected",
        "requested",
    )


@pytest.mark.req("STATUS-04")
def test_state_seen_under_a_lost_lease_is_not_written_under_the_next(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    """The worker that reaped it has recorded its end already; the history would have it twice."""
    gateway = start_site().gateways[0]
    worker = start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    lost = worker.worker._lease.worker
    assert lost is not None
    with psycopg.connect(testbed.database_url) as blocker:
        # The manager blocks on a worker that cannot be ended, and only the manager forgets connections.
        dead = WorkerRepository(ConnectionExecutor(blocker)).register("elsewhere", 1, "test", lease_s=0.5)
        blocker.execute("UPDATE workers SET is_draining = TRUE WHERE id = %s", [dead.id])
        blocker.commit()
        blocker.execute("SELECT FROM workers WHERE id = %s FOR UPDATE", [dead.id])
        wait_until(lambda: testbed.rows(BLOCKED), what="the manager to wait")
        with testbed.database.transaction() as transaction:
            WorkerRepository(transaction).end(lost)
        again = "SELECT FROM workers WHERE epoch > %s AND heartbeat_at > started_at + interval '0.2 s'"
        wait_until(lambda: testbed.rows(again, dead.epoch), what="the next lease to be renewed")
    wait_until(lambda: testbed.events(row_id)[-1].to_state == "connected" and gateway.logins == 2)
    assert_history_is_whole(testbed, [row_id])
    ends = [
        (event.from_state, event.epoch) for event in testbed.events(row_id) if event.to_state == "unknown"
    ]
    assert ends == [("connected", lost.epoch)]


@pytest.mark.req("STATUS-04")
def test_worker_reaped_while_it_reports_leaves_a_consistent_history(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    """If it is slow between two statements, its report precedes its end or has no effect."""
    gateway = start_site().gateways[0]
    worker = start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    lost = worker.worker._lease.worker
    assert lost is not None

    def end() -> None:
        with testbed.database.transaction() as transaction:
            WorkerRepository(transaction).end(lost)

    with ThreadPoolExecutor(1) as pool, psycopg.connect(testbed.database_url) as blocker:
        # Writes to the history wait for this row at the end of their statement.
        blocker.execute("SELECT FROM gateways WHERE id = %s FOR UPDATE", [row_id])
        gateway.drop("rst")
        wait_until(lambda: len(testbed.rows(BLOCKED)) == 1, what="the report to be in progress")
        ending = pool.submit(end)
        wait_until(lambda: len(testbed.rows(BLOCKED)) >= 2, what="the reaping to be in progress")
        blocker.rollback()
        ending.result(5)
    wait_until(lambda: testbed.events(row_id)[-1].epoch != lost.epoch, what="another lease")
    testbed.wait_for_state(row_id, "connected")
    assert_history_is_whole(testbed, [row_id])


class Chance:
    """Applies a reproducible random sequence of actions to gateways."""

    def __init__(self, testbed: WorkerTestBed, gateways: dict[UUID, Gateway], seed: int) -> None:
        self._plant = testbed
        self._gateways = gateways
        self._chance = random.Random(seed)

    def act(self) -> None:
        """Apply one action to one gateway."""
        row_id, gateway = self._chance.choice(list(self._gateways.items()))
        match self._chance.randrange(8):
            case 0 | 1:
                gateway.drop(self._chance.choice(["rst", "fin", "close"]))
            case 2:
                self._plant.disconnect(row_id)
            case 3 | 4:
                self._plant.connect(row_id)
            case 5:
                gateway.fault(self._chance.choice([Fault.REJECT_UPGRADE, Fault.ERROR_LOGIN, Fault.NOT_JSON]))
                gateway.drop("rst")
            case 6:
                gateway.fault(None)
            case 7:
                self._plant.change(row_id, url=f"{gateway.url}/{self._chance.randrange(1000)}")


def assert_agreement(testbed: WorkerTestBed, worker: ThreadedWorker, row_ids: list[UUID]) -> None:
    """Assert that a state lasting for the reporting interval is also in the database.

    The database is read between two equal reads of the registry, else the states are not comparable.
    """
    for row_id in row_ids:

        def agree(row_id: UUID = row_id) -> bool:
            before = worker.registry.find(row_id)
            status = testbed.status(row_id)
            if worker.registry.find(row_id) != before:
                return False
            if before is None or before.is_finished:
                return status.worker_id is None and status.state == "disconnected"
            reason = None if before.reason is None else before.reason.code.value
            return (status.state, status.reason_code, status.attempt, status.observed_generation) == (
                before.state.value,
                reason,
                before.attempt,
                before.generation,
            )

        # The interval is 20 ms; the rest is for a busy machine while the gateway is being retried.
        wait_until(agree, timeout_s=15, what="registry and database to agree")


@pytest.mark.req("STATUS-04", "ORCH-02")
@pytest.mark.parametrize("seed", [1, 2])
def test_registry_and_status_agree_over_hundreds_of_transitions(
    seed: int, testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(10)
    worker = start_worker(LEASE_S="6", BACKOFF_MAX_S="0.3", SUBSCRIBE_GRACE_S="0.02", LOGIN_TRIES="2")
    row_ids = testbed.add_all([(gateway.gateway_id, gateway.url) for gateway in site.gateways])
    by_id = dict(zip(row_ids, site.gateways, strict=True))
    chance = Chance(testbed, by_id, seed)
    count = "SELECT count(*) AS transitions FROM gateway_events"
    deadline = monotonic() + 60
    while testbed.rows(count)[0].transitions < TRANSITIONS and monotonic() < deadline:
        for _ in range(5):
            chance.act()
        assert_agreement(testbed, worker, row_ids)
    assert testbed.rows(count)[0].transitions >= TRANSITIONS
    for row_id, gateway in by_id.items():
        gateway.fault(None)
        testbed.connect(row_id)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    assert_agreement(testbed, worker, row_ids)
    assert site.summary()["max_open_sessions"] == 1
    assert_history_is_whole(testbed, row_ids)


def assert_history_is_whole(testbed: WorkerTestBed, row_ids: list[UUID]) -> None:
    """Assert that each transition starts in the state in which the previous one ended."""
    for row_id in row_ids:
        events = testbed.events(row_id)
        assert [event.from_state for event in events] == [
            "disconnected",
            *(event.to_state for event in events[:-1]),
        ]
