"""A stopping worker releases its gateways as fast as others take them over."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Fault
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.workers.conftest import StartSite, StartWorker
from workers.gateway_manager.assignment.drain import ACK_TIMEOUT_S, MIN_WINDOW, ROUND_S, DrainWindow

COUNT = 100
# The event of gateways released by a stopping worker.
MOVED = """
SELECT extract(epoch FROM gone.at)::float8 AS gone_at, extract(epoch FROM back.at)::float8 AS back_at
FROM (
    SELECT gateway_id, at FROM gateway_events
    WHERE from_state = 'connected' AND reason_code = 'worker_shutdown'
) AS gone
JOIN (
    SELECT gateway_id, max(at) AS at FROM gateway_events WHERE to_state = 'connected' GROUP BY gateway_id
) AS back USING (gateway_id)
"""


def ids(count: int) -> list[UUID]:
    return [UUID(int=number) for number in range(count)]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 1000), st.floats(5, 1000), st.floats(0.01, 0.4))
def test_no_gateway_waits_long_for_fast_or_slow_workers(count: int, rate: float, latency_s: float) -> None:
    """The others take over `rate` gateways a second, each `latency_s` after its release at the earliest."""
    now, step_s, credit = 0.0, 0.05, 0.0
    window, connected = DrainWindow(now), ids(count)
    released_at: dict[UUID, float] = {}
    gaps: list[float] = []
    while connected or released_at:
        now += step_s
        credit = min(rate, credit + rate * step_s)
        ready = [each for each, at in released_at.items() if now - at >= latency_s][: int(credit)]
        credit -= len(ready)
        gaps += [now - released_at.pop(each) for each in ready]
        window.acknowledge(ready, now)
        for each in window.release(connected, now):
            released_at[each] = now
        connected = [each for each in connected if each not in released_at]
        assert now < 60 + 4 * count / rate, "draining ends"
    longest_s = latency_s + max(ROUND_S, MIN_WINDOW / rate) + 3 * step_s
    assert max(gaps) <= 2 * longest_s


def test_draining_pauses_while_no_worker_takes_over() -> None:
    window, connected = DrainWindow(0.0), ids(100)
    first = window.release(connected, 0.0)
    assert len(first) == MIN_WINDOW
    rest = connected[MIN_WINDOW:]
    for now in (1.0, ACK_TIMEOUT_S + 1, 10 * ACK_TIMEOUT_S):
        assert window.release(rest, now) == []
    assert set(window.unacknowledged) == set(first)
    window.acknowledge(first, 10 * ACK_TIMEOUT_S)
    assert len(window.release(rest, 10 * ACK_TIMEOUT_S)) == MIN_WINDOW


def test_a_gateway_that_no_worker_takes_over_stops_counting_after_a_while() -> None:
    window, connected = DrainWindow(0.0), ids(100)
    dead, *others = window.release(connected, 0.0)
    window.acknowledge(others, ACK_TIMEOUT_S)
    window.release(connected[MIN_WINDOW:], ACK_TIMEOUT_S + 0.1)
    assert dead not in window.unacknowledged


@pytest.mark.req("LIFECYCLE-04")
def test_sessions_end_only_as_fast_as_another_worker_takes_over(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(COUNT)
    first = start_worker(LEASE_S="30", DRAIN_TIMEOUT_S="60")
    testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    wait_until(lambda: connected(testbed) == COUNT, 30, "all to be connected")
    # One login after the other, each slow.
    for gateway in site.gateways:
        gateway.fault(Fault.DRIBBLE_LOGIN, byte_interval_s=0.0002)
    start_worker(LEASE_S="30", MAX_HANDSHAKES="1", LOGIN_TIMEOUT_S="5", LIVENESS_TIMEOUT_S="5")
    wait_until(lambda: len(testbed.rows("SELECT FROM workers AS w WHERE worker_is_live(w)")) == 2)
    first.worker.request_stop()
    wait_until(
        lambda: testbed.rows("SELECT FROM workers WHERE ended_at IS NOT NULL"), 60, "the first session to end"
    )
    wait_until(lambda: connected(testbed) == COUNT, 60, "all to be connected again")
    moved = testbed.rows(MOVED)
    assert len(moved) >= COUNT / 2
    gaps = sorted(row.back_at - row.gone_at for row in moved)
    took_s = max(row.back_at for row in moved) - min(row.gone_at for row in moved)
    # Released all together, they would wait for half of that time.
    assert gaps[len(gaps) // 2] < 0.4 * took_s
    seen = site.summary()
    assert (seen["max_open_sessions"], seen["open_sessions"]) == (1, COUNT)


@pytest.mark.req("LIFECYCLE-05")
def test_a_worker_without_successor_stops_immediately(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(60)
    worker = start_worker(LEASE_S="30", DRAIN_TIMEOUT_S="600")
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    wait_until(lambda: connected(testbed) == len(row_ids), 30, "all to be connected")
    worker.stop()
    assert all(testbed.is_free(row_id) for row_id in row_ids)


@pytest.mark.req("LIFECYCLE-05")
def test_a_second_stop_request_ends_the_draining(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(COUNT)
    first = start_worker(LEASE_S="30", DRAIN_TIMEOUT_S="600")
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    wait_until(lambda: connected(testbed) == COUNT, 30, "all to be connected")
    for gateway in site.gateways:
        gateway.fault(Fault.SILENT_LOGIN)
    # It claims gateways but cannot connect them.
    start_worker(LEASE_S="30", LOGIN_TIMEOUT_S="60", LIVENESS_TIMEOUT_S="60")
    wait_until(lambda: len(testbed.rows("SELECT FROM workers AS w WHERE worker_is_live(w)")) == 2)
    first.worker.request_stop()
    wait_until(lambda: testbed.rows("SELECT FROM workers WHERE is_draining"), 8, "its log line")
    assert connected(testbed) > 0
    first.stop()
    assert testbed.rows("SELECT FROM workers WHERE ended_at IS NOT NULL")
    assert not any(testbed.status(row_id).state == "connected" for row_id in row_ids)


def connected(testbed: WorkerTestBed) -> int:
    return len(testbed.rows("SELECT FROM gateway_statuses WHERE state = 'connected'"))
