"""A worker cut off from a database that others still reach releases its gateways in time and comes back."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from chaos.proxy import Mode, Proxy
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.workers.conftest import StartSite, StartWorker


@pytest.fixture
def network(database_url: str) -> Iterator[Proxy]:
    """Yield a proxy between a worker and the database."""
    port = urlsplit(database_url).port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy


@pytest.mark.req("LIFECYCLE-05", "STATUS-01", "GATEWAY-08")
def test_a_worker_cut_off_from_its_database_releases_before_a_take_over(
    testbed: WorkerTestBed, network: Proxy, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(2)
    port = str(urlsplit(testbed.database_url).port)
    cut_off = ThreadedWorker(testbed.database_url.replace(port, str(network.port), 1), {})
    try:
        row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
        for row_id in row_ids:
            testbed.wait_for_state(row_id, "connected")
        # The proxy still acknowledges the worker's data, so TCP sees no error.
        network.switch(Mode.DROP)
        assert site.summary()["sessions_closed"] == 0
        lease = "SELECT clock_timestamp() < lease_expires_at AS runs FROM workers"
        site.wait(lambda seen: seen.summary()["open_sessions"] == 0)
        assert testbed.rows(lease)[0].runs
        successor = start_worker(LEASE_S="10")
        site.wait(lambda seen: seen.summary()["open_sessions"] == 2, timeout_s=8)
        # The same process registers again when its database is back.
        network.switch(Mode.OPEN)
        wait_until(lambda: cut_off.worker._lease.worker is not None, timeout_s=15)
        wait_until(lambda: len(successor.registry) == len(cut_off.registry) == 1, timeout_s=30)
        for row_id in row_ids:
            testbed.wait_for_state(row_id, "connected")
        assert site.summary()["max_open_sessions"] == 1
    finally:
        network.switch(Mode.OPEN)
        cut_off.stop()
