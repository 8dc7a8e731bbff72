"""Ownership of gateways, and when another worker may take over, as enforced by the database."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres, free_port
from service.database.engine.pool import ConnectionExecutor
from service.database.observed.connections import ConnectionRepository
from service.database.observed.reports import ConnectionReport, TransitionReport
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from service.gateway_states import State
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import worker_config
from tests.workers.conftest import SpawnWorker, StartSite, StartWorker
from workers.gateway_manager.lease.database_probe import is_refusing
from workers.gateway_manager.lease.lease import Lease
from workers.gateway_manager.settings import LeaseSettings

LEASE_S = 30.0


@dataclass
class Contender:
    """A worker as the database sees it: a session and an identity."""

    connection: psycopg.Connection
    identity: WorkerIdentity

    def renew(self) -> bool:
        return WorkerRepository(ConnectionExecutor(self.connection)).renew(self.identity, 0)

    def claim(self, limit: int = 100) -> int:
        return len(ConnectionRepository(ConnectionExecutor(self.connection), self.identity).claim(limit))

    def report(self, row_id: UUID, state: str = "retrying") -> set[UUID]:
        repository = ConnectionRepository(ConnectionExecutor(self.connection), self.identity)
        report = ConnectionReport(
            gateway_id=row_id,
            state=state,
            attempt=1,
            connects=1,
            messages_received=7,
            next_attempt_in_s=1.0 if state == "retrying" else None,
        )
        return repository.report([report])

    def record(self, row_id: UUID) -> int:
        repository = ConnectionRepository(ConnectionExecutor(self.connection), self.identity)
        step = TransitionReport(
            gateway_id=row_id, from_state="disconnected", to_state="connecting", attempt=1
        )
        return repository.record_transitions([step])

    def end(self) -> None:
        with self.connection.transaction():
            WorkerRepository(ConnectionExecutor(self.connection)).end(self.identity)

    def reap(self) -> list[UUID]:
        with self.connection.transaction():
            return [one.id for one, _ in WorkerRepository(ConnectionExecutor(self.connection)).reap()]


@pytest.fixture
def contenders(testbed: WorkerTestBed) -> Iterator[list[Contender]]:
    """Yield three of them."""
    with ExitStack() as connections:
        made = []
        for number in range(3):
            connection = connections.enter_context(psycopg.connect(testbed.database_url, autocommit=True))
            repository = WorkerRepository(ConnectionExecutor(connection))
            made.append(Contender(connection, repository.register(f"host-{number}", 1, "test", LEASE_S)))
        yield made


@pytest.fixture
def row_ids(testbed: WorkerTestBed) -> list[UUID]:
    """Create gateways that no worker holds."""
    return testbed.add_all((f"AP-{number}", "ws://127.0.0.1:9") for number in range(20))


def holders(testbed: WorkerTestBed) -> dict[UUID, UUID | None]:
    rows = testbed.rows("SELECT gateway_id, worker_id FROM gateway_connections")
    return {row.gateway_id: row.worker_id for row in rows}


def run_out(testbed: WorkerTestBed, worker: Contender) -> None:
    """Expire a worker's lease in the database."""
    over = (
        "UPDATE workers SET lease_duration = '1 ms', lease_expires_at = now() - interval '1 s' WHERE id = %s"
    )
    testbed.rows(over, worker.identity.id)


@pytest.mark.req("LIFECYCLE-05")
def test_a_gateway_is_claimed_by_one_worker(
    testbed: WorkerTestBed, contenders: list[Contender], row_ids: list[UUID]
) -> None:
    barrier, taken = threading.Barrier(len(contenders)), [0] * len(contenders)

    def grab(number: int) -> None:
        barrier.wait(5)
        while sum(taken) < len(row_ids):
            claimed = contenders[number].claim(limit=1)
            taken[number] += claimed
            if not claimed and len(holders(testbed)) == len(row_ids):
                break

    threads = [threading.Thread(target=grab, args=[number]) for number in range(len(contenders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(taken) == len(row_ids)
    held = holders(testbed)
    assert set(held) == set(row_ids)
    for contender, count in zip(contenders, taken, strict=True):
        assert list(held.values()).count(contender.identity.id) == count


@pytest.mark.req("LIFECYCLE-05", "STATUS-01")
def test_only_the_owner_reports(
    testbed: WorkerTestBed, contenders: list[Contender], row_ids: list[UUID]
) -> None:
    first, second, _ = contenders
    assert first.claim() == 20
    assert second.claim() == 0
    assert second.report(row_ids[0]) == set()
    assert testbed.status(row_ids[0]).state == "disconnected"
    assert first.report(row_ids[0]) == {row_ids[0]}
    assert testbed.status(row_ids[0]).state == "retrying"


@pytest.mark.req("LIFECYCLE-05")
def test_no_worker_is_reaped_before_its_lease_expires(
    testbed: WorkerTestBed, contenders: list[Contender], row_ids: list[UUID]
) -> None:
    first, second, _ = contenders
    first.claim()
    first.connection.close()
    # Its session has ended, so its reports do not count, but its sockets may still be open.
    wait_until(lambda: testbed.status(row_ids[0]).state == "unknown")
    # So that only the lease prevents reaping, not the server's short uptime.
    testbed.rows("UPDATE workers SET lease_duration = '1 ms'")
    assert second.reap() == []
    assert second.claim() == 0
    run_out(testbed, first)
    assert second.reap() == [first.identity.id]
    assert second.claim() == 20


@pytest.mark.req("LIFECYCLE-05", "STATUS-01")
def test_an_ended_worker_changes_nothing(
    testbed: WorkerTestBed, contenders: list[Contender], row_ids: list[UUID]
) -> None:
    zombie, successor, _ = contenders
    zombie.claim()
    zombie.report(row_ids[0])
    run_out(testbed, zombie)
    assert successor.reap() == [zombie.identity.id]
    assert successor.reap() == []
    extra = testbed.add("AP-extra", "ws://127.0.0.1:9")
    events = len(testbed.events(row_ids[0]))
    assert not zombie.renew()
    assert zombie.claim() == 0
    assert zombie.report(row_ids[0], "connecting") == set()
    assert zombie.record(row_ids[0]) == 0
    assert len(testbed.events(row_ids[0])) == events
    assert extra not in holders(testbed)
    assert set(holders(testbed).values()) == {None}
    assert successor.claim() == 21


@pytest.mark.req("LIFECYCLE-05", "QUAL-05")
def test_a_take_over_knows_whom_it_took_from_and_how_much(
    testbed: WorkerTestBed, contenders: list[Contender], row_ids: list[UUID]
) -> None:
    first, second, third = contenders
    first.claim()
    for row_id in row_ids[:2]:
        first.report(row_id)
        first.record(row_id)
    run_out(testbed, first)
    executor = ConnectionExecutor(second.connection)
    with second.connection.transaction():
        [(reaped, released)] = WorkerRepository(executor).reap()
    assert (reaped.id, released) == (first.identity.id, len(row_ids))
    assert reaped.last_renewed_at > reaped.lease_expired_at, "the lease was made to run out"
    claimed = ConnectionRepository(executor, second.identity).claim(100)
    lost_by = {one.gateway_id: one.last_worker_id for one in claimed}
    # Of the others, nothing that the first worker did is known: it had no session to lose.
    assert [lost_by[row_id] for row_id in row_ids[:3]] == [first.identity.id, first.identity.id, None]
    tried = next(one for one in claimed if one.gateway_id == row_ids[0])
    assert (tried.device_id, tried.reason_code) == ("AP-0", "worker_lost")
    assert (tried.last_host, tried.last_pid) == (reaped.host, reaped.pid)
    # The second worker tries none, so the third takes over from nobody: not from the first, in the history.
    run_out(testbed, second)
    assert third.reap() == [second.identity.id]
    again = ConnectionRepository(ConnectionExecutor(third.connection), third.identity).claim(100)
    assert {one.last_worker_id for one in again} == {None}
    assert len(again) == len(row_ids)


@pytest.mark.req("LIFECYCLE-04")
def test_a_worker_that_ends_frees_its_gateways_immediately(
    testbed: WorkerTestBed, contenders: list[Contender], row_ids: list[UUID]
) -> None:
    first, second, _ = contenders
    first.claim()
    first.end()
    assert second.claim() == 20
    assert second.renew()


@pytest.mark.req("LIFECYCLE-04")
def test_another_worker_takes_over_from_a_stopping_one_without_delay(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(3)
    first = start_worker(LEASE_S="60")
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    second = start_worker(LEASE_S="60")
    wait_until(lambda: len(second.registry) == 1, what="gateways for the second")
    first.stop()
    site.wait(lambda seen: seen.summary()["logins"] == 6, timeout_s=3)
    assert second.registry.ids() == set(row_ids)
    assert site.summary()["max_open_sessions"] == 1


@pytest.mark.req("LIFECYCLE-05")
def test_the_watchdog_kills_a_frozen_worker_before_a_take_over(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, spawn_worker: SpawnWorker
) -> None:
    gateway = start_site().gateways[0]
    frozen = spawn_worker(LEASE_S="2")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    successor = start_worker(LEASE_S="6")
    wait_until(lambda: len(testbed.rows("SELECT FROM workers WHERE ended_at IS NULL")) == 2)
    frozen.send(signal.SIGSTOP)
    wait_until(lambda: successor.state(row_id) is State.CONNECTED, timeout_s=6)
    assert frozen.process.wait(5) == -signal.SIGKILL
    assert (gateway.logins, gateway.max_open_sessions) == (2, 1)


@pytest.mark.req("LIFECYCLE-05")
def test_a_worker_that_wakes_after_the_take_over_changes_nothing(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, spawn_worker: SpawnWorker
) -> None:
    gateway = start_site().gateways[0]
    # Frozen together with its watchdog, as on a suspended machine.
    frozen = spawn_worker(LEASE_S="2")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    successor = start_worker(LEASE_S="6")
    wait_until(lambda: len(testbed.rows("SELECT FROM workers WHERE ended_at IS NULL")) == 2)
    frozen.send_to_all(signal.SIGSTOP)
    wait_until(lambda: successor.state(row_id) is State.CONNECTED, timeout_s=6)
    testbed.wait_for_state(row_id, "connected")
    written = len(testbed.events(row_id))
    frozen.send_to_all(signal.SIGCONT)
    wait_until(lambda: "lease lost" in frozen.log, what="the frozen worker to notice")
    gateway.wait(lambda seen: seen.open_sessions == 1)
    wait_until(lambda: len(testbed.rows("SELECT FROM workers WHERE ended_at IS NULL")) == 2)
    assert testbed.status(row_id).worker_id == successor.worker._lease.worker.id  # type: ignore[union-attr]
    assert frozen.terminate() == 0
    assert testbed.status(row_id).state == "connected"
    assert (gateway.logins, len(testbed.events(row_id))) == (2, written)


@pytest.mark.req("GATEWAY-08")
def test_a_closed_port_refuses_and_a_silent_one_does_not(own_postgres: EmbeddedPostgres) -> None:
    assert is_refusing(f"postgresql://u:p@127.0.0.1:{free_port()}/db")
    assert not is_refusing(own_postgres.url())
    own_postgres.stop()
    assert is_refusing(own_postgres.url())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not is_refusing(f"postgresql://u:p@127.0.0.1:{port}/db")
        assert not is_refusing(f"postgresql://u:p@127.0.0.1,127.0.0.1:{free_port()},{port}/db")
    assert not is_refusing("postgresql://u:p@nonexistent.invalid:1/db")


@pytest.mark.req("LIFECYCLE-05")
def test_a_lease_expires_in_the_worker_before_the_database(testbed: WorkerTestBed) -> None:
    changes = threading.Semaphore(0)
    settings = LeaseSettings(duration_s=1.0, heartbeat_s=0.2, margin_s=0.4)
    lease = Lease(
        database=worker_config(testbed.database_url).database,
        settings=settings,
        version="test",
        gateways_held=lambda: 0,
        capacity=lambda: 1,
        on_acquired=changes.release,
        on_lost=lambda: None,
        publish_deadline=lambda _: None,
    )
    lease.start()
    try:
        assert changes.acquire(timeout=5)
        assert lease.worker is not None
        # The row is locked, so renewals hang instead of being refused.
        with psycopg.connect(testbed.database_url) as blocker:
            blocker.execute("SELECT FROM workers FOR UPDATE")
            began = monotonic()
            wait_until(lambda: lease.worker is None, timeout_s=2)
            assert monotonic() - began < settings.duration_s
            expiry = "SELECT lease_expires_at > clock_timestamp() AS runs FROM workers"
            assert blocker.execute(expiry).fetchone() == (True,)
    finally:
        lease.stop(timeout_s=5)
