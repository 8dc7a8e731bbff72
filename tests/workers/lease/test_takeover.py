"""Two workers: the take-over of a killed worker's gateways, with their counters."""

import datetime as dt
import json
import os
from itertools import pairwise
from pathlib import Path

import pytest

from devstack.project import PROJECT
from simulator import Fault
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.workers.conftest import SpawnWorker, StartSite, StartWorker

WRONG_CLOCK = """
import datetime, time

HOUR_S = 3600
real_time, real_time_ns, real_gettime = time.time, time.time_ns, time.clock_gettime
time.time = lambda: real_time() + HOUR_S
time.time_ns = lambda: real_time_ns() + HOUR_S * 10**9
time.clock_gettime = lambda clock: real_gettime(clock) + HOUR_S * (clock == time.CLOCK_REALTIME)


class Later(datetime.datetime):
    __slots__ = ()

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=HOUR_S)


datetime.datetime = Later
"""


@pytest.mark.req("LIFECYCLE-05", "STATUS-01")
def test_gateways_of_a_killed_worker_are_taken_over(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, spawn_worker: SpawnWorker
) -> None:
    site = start_site(4)
    doomed = spawn_worker(LEASE_S="2")
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    successor = start_worker(LEASE_S="10")
    wait_until(lambda: len(successor.registry) == 2)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    [orphan, _] = set(row_ids) - successor.registry.ids()
    doomed.kill()
    testbed.wait_for_state(orphan, "unknown", timeout_s=2)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected", timeout_s=8)
    assert len(successor.registry) == 4
    seen = site.summary()
    assert (seen["open_sessions"], seen["max_open_sessions"]) == (4, 1)
    moves = [(event.from_state, event.to_state) for event in testbed.events(orphan)]
    assert moves[-5:-3] == [("connected", "unknown"), ("unknown", "disconnected")]
    assert all(before[1] == after[0] for before, after in pairwise(moves))


@pytest.mark.req("LIFECYCLE-05", "STATUS-02")
@pytest.mark.parametrize("tries", [1, 2])
def test_rejected_logins_are_counted_across_workers(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, tries: int
) -> None:
    gateway = start_site().gateways[0]
    gateway.fault(Fault.REJECT_LOGIN)
    # After one more attempt the first worker leaves it in quarantine; after two, between attempts.
    settings = {"LOGIN_TRIES": str(tries), "LOGIN_RETRY_S": "1.5", "LOGIN_QUARANTINE_S": "60"}
    first = start_worker(**settings)
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    shown = testbed.wait_for_state(row_id, "auth_failed" if tries == 1 else "retrying")
    first.stop()
    start_worker(**settings)
    taken_over = testbed.wait_for_state(row_id, "auth_failed")
    assert gateway.rejected_logins == tries
    assert taken_over.reason_code == "login_rejected"
    assert shown.next_attempt_at is not None
    assert taken_over.next_attempt_at is not None
    if tries == 1:
        # The time of its next attempt is unchanged.
        assert abs(taken_over.next_attempt_at - shown.next_attempt_at) < dt.timedelta(seconds=1)
    # A connect request is followed immediately, and a correct password ends the quarantine.
    gateway.fault(None)
    testbed.connect(row_id)
    testbed.wait_for_state(row_id, "connected")
    assert testbed.rows("SELECT rejected_logins FROM gateway_connections")[0].rejected_logins == 0


@pytest.mark.req("STATUS-01", "STATUS-05")
def test_a_worker_whose_clock_is_an_hour_ahead_shows_no_wrong_time(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker, tmp_path: Path
) -> None:
    site = start_site(2)
    (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK)
    worker = spawn_worker(PYTHONPATH=f"{tmp_path}{os.pathsep}{PROJECT}")
    row_id, other_id = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    testbed.wait_for_state(row_id, "connected")
    testbed.wait_for_state(other_id, "connected")
    site.gateways[0].drop("rst")
    site.gateways[0].wait(lambda seen: seen.logins == 2)
    testbed.wait_for_state(row_id, "connected")
    # Read before the status, because later writes may follow its `as_of`.
    events = testbed.events(row_id)
    status = testbed.wait_for_state(row_id, "connected")
    # Its clock is really ahead: its log is an hour ahead.
    logged_at = dt.datetime.fromisoformat(json.loads(worker.log.splitlines()[0])["time"])
    assert dt.timedelta(minutes=59) < logged_at - status.as_of < dt.timedelta(minutes=61)
    times = [status.state_since, status.connected_since, status.last_connected_at, status.last_seen_at]
    times += [event.at for event in events]
    for at in times:
        assert at is not None
        assert dt.timedelta(0) <= status.as_of - at < dt.timedelta(minutes=1)
    assert status.worker_lease_expires_at is not None
    assert status.worker_lease_expires_at - status.as_of < dt.timedelta(seconds=3)
