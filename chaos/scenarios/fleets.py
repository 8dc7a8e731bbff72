"""A worker with thousands of gateways that is told to end, or killed, beside one that has room for them."""

import signal
import statistics
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from chaos.findings import Findings
from chaos.scenarios.messages import OtherSite
from chaos.testbed import ChaosTestBed, since
from chaos.worker_pair import id_of
from chaos.worker_process import WorkerProcess
from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox

GATEWAYS = 5000
CONNECT_LIMIT_S = 120.0
GIVE_UP_S = 90.0
MEDIAN_LIMIT_S = 3.0
LONGEST_LIMIT_S = 8.0
EXIT_LIMIT_S = 70.0
UNKNOWN_LIMIT_S = 2.0
LEASE_S = 8.0
CONNECTED_LIMIT_S = LEASE_S + 10
COUNT_INTERVAL_S = 0.25

# When each gateway lost the session that it had, and when it had one again with another worker.
GAPS = """
SELECT extract(epoch FROM back.at - gone.at)::float8 AS gap_s
FROM (
    SELECT DISTINCT ON (gateway_id) gateway_id, at FROM gateway_events
    WHERE from_state = 'connected' AND worker_id::text = %s ORDER BY gateway_id, at DESC
) AS gone
JOIN (
    SELECT DISTINCT ON (gateway_id) gateway_id, at FROM gateway_events
    WHERE to_state = 'connected' AND worker_id::text <> %s ORDER BY gateway_id, at
) AS back USING (gateway_id)
ORDER BY gap_s
"""
COUNT_WITH = "SELECT count(*) FROM gateway_statuses WHERE state = %s AND worker_id::text = %s"


class Fleet(NamedTuple):
    """All gateways with one worker, or nearly all, and another one that has just come."""

    site: OtherSite
    first: WorkerProcess
    first_id: str
    second_id: str


def worker_term_5000(sandbox: Sandbox, findings: Findings) -> None:
    """SIGTERM, as at each deployment."""
    with ChaosTestBed(sandbox, "worker-term-5000") as testbed:
        fleet = _start(testbed)
        testbed.say("SIGTERM")
        began = monotonic()
        fleet.first.send(signal.SIGTERM)
        ended = fleet.first.wait_for_end(GIVE_UP_S)
        findings.within("exit after", since(began, ended), EXIT_LIMIT_S)
        findings.within("all connected after", since(began, _wait_for_all(testbed)), GIVE_UP_S)
        gaps = [row.gap_s for row in testbed.rows(GAPS, fleet.first_id, fleet.first_id)]
        findings.holds(f"{len(gaps)} of {GATEWAYS} handed over", len(gaps) >= GATEWAYS * 0.9)
        if gaps:
            findings.within("without a session, median", statistics.median(gaps), MEDIAN_LIMIT_S)
            findings.within("99 of 100", gaps[int(len(gaps) * 0.99)], LONGEST_LIMIT_S)
            findings.note(f"longest {gaps[-1]:.2f} s")
        _judge_sessions(fleet, findings)


def worker_kill_5000(sandbox: Sandbox, findings: Findings) -> None:
    """kill -9."""
    with ChaosTestBed(sandbox, "worker-kill-5000") as testbed:
        fleet = _start(testbed)
        testbed.say("kill -9")
        began = monotonic()
        fleet.first.send(signal.SIGKILL)
        unknown = _wait(
            testbed, lambda: _count(testbed, "connected", fleet.first_id) == 0, UNKNOWN_LIMIT_S + 5
        )
        findings.within("none shown connected by the dead one after", since(began, unknown), UNKNOWN_LIMIT_S)
        lost = testbed.count_in_state("unknown")
        findings.holds(f"{lost} of {GATEWAYS} unknown then", lost >= GATEWAYS * 0.9)
        freed = _wait(testbed, lambda: testbed.count_in_state("unknown") == 0, GIVE_UP_S)
        findings.within("none unknown any more after", since(began, freed), CONNECTED_LIMIT_S)
        findings.within("all connected after", since(began, _wait_for_all(testbed)), CONNECTED_LIMIT_S)
        _judge_sessions(fleet, findings)


def _start(testbed: ChaosTestBed) -> Fleet:
    """Raises StackError."""
    site = OtherSite(testbed, GATEWAYS, "AP-")
    testbed.say(f"registering {GATEWAYS} gateways")
    testbed.import_all(site.urls)
    began = monotonic()
    first = testbed.start_worker()
    connected = _wait_for_all(testbed, CONNECT_LIMIT_S)
    if connected is None:
        raise StackError("not all gateways were connected at first")
    testbed.say(f"all connected within {connected - began:.1f} s; another worker comes")
    second = testbed.start_worker()
    return Fleet(site, first, id_of(testbed, first), id_of(testbed, second))


def _wait_for_all(testbed: ChaosTestBed, limit_s: float = GIVE_UP_S) -> float | None:
    return _wait(testbed, lambda: testbed.count_in_state("connected") == GATEWAYS, limit_s)


def _wait(testbed: ChaosTestBed, holds: Callable[[], bool], limit_s: float) -> float | None:
    """As ChaosTestBed.wait, but seldom enough that to count thousands takes nothing from what is measured."""
    return testbed.sandbox.wait_until(holds, limit_s, COUNT_INTERVAL_S)


def _count(testbed: ChaosTestBed, state: str, worker_id: str) -> int:
    return int(testbed.rows(COUNT_WITH, state, worker_id)[0][0])


def _judge_sessions(fleet: Fleet, findings: Findings) -> None:
    seen = fleet.site.tell(summary=True)
    findings.holds(f"at most {seen['max_open_sessions']} session a gateway", seen["max_open_sessions"] == 1)
    findings.holds(f"{seen['open_sessions']} sessions in the end", seen["open_sessions"] == GATEWAYS)
