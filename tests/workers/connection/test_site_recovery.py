"""A site reconnects within seconds after a long outage, and its gateways show their next attempts."""

from time import monotonic

import pytest

from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import PATIENT
from tests.workers.conftest import StartSite, StartWorker

pytestmark = pytest.mark.req("ORCH-04", "STATUS-02")

# As after hours of outage: each waits up to a minute between two attempts.
LONG_AWAY = {**PATIENT, "BACKOFF_INITIAL_S": "60", "BACKOFF_MAX_S": "60", "LEASE_S": "10"}
COUNT = 60
BACK_LIMIT_S = 20.0

COUNT_STATES = "SELECT count(*) AS number FROM gateway_statuses WHERE state = %s"
COUNT_REFUSED = """
SELECT count(DISTINCT gateway_id) AS number FROM gateway_events
WHERE from_state = 'connecting' AND to_state = 'retrying'
"""
LONGEST_WAIT_S = """
SELECT coalesce(max(extract(epoch FROM next_attempt_at - as_of)), 0)::float8 AS s
FROM gateway_statuses WHERE state = 'retrying'
"""


def count(testbed: WorkerTestBed, state: str) -> int:
    return int(testbed.rows(COUNT_STATES, state)[0].number)


def test_a_site_reconnects_soon(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(COUNT)
    steady = start_site(1, prefix="STEADY-").gateways[0]
    testbed.add_all((gateway.gateway_id, gateway.url) for gateway in [*site.gateways, steady])
    start_worker(**LONG_AWAY)
    wait_until(lambda: count(testbed, "connected") == COUNT + 1, 20)
    site.stop_listening()
    for gateway in site.gateways:
        gateway.drop("rst")
    wait_until(lambda: count(testbed, "retrying") == COUNT, 10)
    assert testbed.rows(LONGEST_WAIT_S)[0].s > 2 * BACK_LIMIT_S
    site.start_listening()
    began = monotonic()
    # The first reconnects after its backoff; then all are retried.
    wait_until(lambda: testbed.rows(LONGEST_WAIT_S)[0].s < 8, BACK_LIMIT_S, "no gateway to wait for long")
    wait_until(lambda: count(testbed, "connected") == COUNT + 1, BACK_LIMIT_S, "all to be back")
    assert monotonic() - began < BACK_LIMIT_S
    assert site.summary()["max_open_sessions"] == 1
    assert site.summary()["logins"] == 2 * COUNT
    assert (steady.logins, steady.open_sessions) == (1, 1)


def test_a_recovery_seen_by_another_worker_is_used(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(3)
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    start_worker(**{**LONG_AWAY, "BACKOFF_INITIAL_S": "3600", "BACKOFF_MAX_S": "3600"})
    wait_until(lambda: count(testbed, "connected") == 3)
    site.stop_listening()
    for gateway in site.gateways:
        gateway.drop("rst")
    wait_until(lambda: count(testbed, "retrying") == 3)
    site.start_listening()
    assert count(testbed, "connected") == 0
    testbed.rows("SELECT pg_notify('gateways_returning', 'host 127.0.0.1')")
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")


def test_late_gateways_of_a_site_reconnect_soon_as_well(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    early, late = start_site(3), start_site(3, prefix="LATE-")
    gateways = [*early.gateways, *late.gateways]
    testbed.add_all((gateway.gateway_id, gateway.url) for gateway in gateways)
    start_worker(**{**LONG_AWAY, "BACKOFF_INITIAL_S": "3600", "BACKOFF_MAX_S": "3600"})
    wait_until(lambda: count(testbed, "connected") == 6)
    for site in (early, late):
        site.stop_listening()
    for gateway in gateways:
        gateway.drop("rst")
    wait_until(lambda: count(testbed, "retrying") == 6)
    early.start_listening()
    testbed.rows("SELECT pg_notify('gateways_returning', 'host 127.0.0.1')")
    wait_until(lambda: count(testbed, "connected") == 3, 10)
    wait_until(lambda: testbed.rows(COUNT_REFUSED)[0].number == 3, 10, "the late ones to be tried")
    late.start_listening()
    wait_until(lambda: count(testbed, "connected") == 6, BACK_LIMIT_S, "the late ones to be back")


def test_a_recovery_is_announced_to_other_workers(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(6)
    testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    # One retries each second, the other hardly ever.
    eager = start_worker(**PATIENT, LEASE_S="10")
    patient = start_worker(**{**LONG_AWAY, "BACKOFF_INITIAL_S": "3600", "BACKOFF_MAX_S": "3600"})
    wait_until(lambda: count(testbed, "connected") == 6 and len(patient.registry) == 3, 20)
    assert len(eager.registry) == 3
    site.stop_listening()
    for gateway in site.gateways:
        gateway.drop("rst")
    wait_until(lambda: count(testbed, "connected") == 0)
    site.start_listening()
    wait_until(lambda: count(testbed, "connected") == 6, BACK_LIMIT_S, "both workers' to be back")
