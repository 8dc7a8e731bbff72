"""A database that answers but cannot write, full or read-only: sessions stay and are not taken over."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.workers.conftest import StartSite
from workers.gateway_manager.lease.watchdog_process import lease_clock

LEASE_S = 2.0
StartHere = Callable[[], ThreadedWorker]


@pytest.fixture
def own_testbed(own_postgres: EmbeddedPostgres) -> Iterator[WorkerTestBed]:
    """Yield a test bed on a server whose settings the test may change."""
    with WorkerTestBed(own_postgres.url()) as testbed:
        yield testbed


@pytest.fixture
def start_here(own_postgres: EmbeddedPostgres, own_testbed: WorkerTestBed) -> Iterator[StartHere]:
    """Start workers on that server."""
    with ExitStack() as workers:

        def start() -> ThreadedWorker:
            worker = ThreadedWorker(own_postgres.url(), {"LEASE_S": str(LEASE_S)})
            workers.callback(worker.stop)
            return worker

        yield start


def set_read_only(postgres: EmbeddedPostgres, value: str) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        wait_until(
            lambda: connection.execute("SHOW default_transaction_read_only").fetchone() == (value,),
            what="the server to apply it",
        )


@pytest.mark.req("GATEWAY-08", "STATUS-01", "LIFECYCLE-05")
def test_sessions_survive_a_read_only_database_and_are_not_taken_over(
    own_postgres: EmbeddedPostgres, own_testbed: WorkerTestBed, start_here: StartHere, start_site: StartSite
) -> None:
    site = start_site(4)
    steady, dropped, *_ = site.gateways
    first, second = start_here(), start_here()
    row_ids = own_testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    wait_until(lambda: len(first.registry) == len(second.registry) == 2)
    for row_id in row_ids:
        own_testbed.wait_for_state(row_id, "connected")
    logins, closed = site.summary()["logins"], len(dropped.sessions_closed)
    holders = {row.worker_id for row in own_testbed.rows("SELECT worker_id FROM gateway_connections")}

    set_read_only(own_postgres, "on")
    began = lease_clock()
    dropped.drop("rst")
    dropped.wait(lambda gateway: gateway.open_sessions == 1 and len(gateway.sessions_closed) > closed)
    # For twice as long as a lease lasts.
    wait_until(lambda: lease_clock() > began + 2 * LEASE_S, timeout_s=8, what="two leases' time to pass")
    # A state that cannot be written is not shown as current.
    assert own_testbed.status(row_ids[0]).state == "unknown"
    assert steady.open_sessions == 1

    set_read_only(own_postgres, "off")
    for row_id in row_ids:
        own_testbed.wait_for_state(row_id, "connected", timeout_s=2)
    seen = site.summary()
    assert (seen["logins"], seen["max_open_sessions"]) == (logins + 1, 1)
    assert {row.worker_id for row in own_testbed.rows("SELECT worker_id FROM gateway_connections")} == holders
    moves = [(event.from_state, event.to_state) for event in own_testbed.events(row_ids[1])]
    assert ("connected", "retrying") in moves
    assert moves[-1] == ("authenticating", "connected")
    assert not own_testbed.rows("SELECT FROM workers WHERE ended_at IS NOT NULL")
