"""A worker whose machine has the wrong time."""

import json
import signal
from datetime import UTC, datetime
from time import monotonic

from chaos.findings import Findings
from chaos.scenarios.gateways import cut_one, seconds_between
from chaos.testbed import ChaosTestBed, Status, since
from chaos.worker_pair import LEASE, is_unknown, is_with, start_worker_pair
from chaos.worker_process import WorkerProcess
from devstack.harness.sandbox import Sandbox

HOUR_S = 3600.0
LEASE_S = 8.0
GIVE_UP_S = 40.0
TIMES = ("state_since", "connected_since", "last_connected_at", "last_disconnected_at", "last_seen_at")

# How far the times of the history are from the time in which it happened.
OFF_S = """
SELECT coalesce(max(abs(extract(epoch FROM clock_timestamp() - at))), 0)::float8 AS off_s FROM gateway_events
"""


def clock(sandbox: Sandbox, findings: Findings) -> None:
    """One worker an hour ahead, the other one an hour behind."""
    with ChaosTestBed(sandbox, "clock") as testbed:
        began = monotonic()
        pair = start_worker_pair(testbed, victims_clock_error_s=HOUR_S, successors_clock_error_s=-HOUR_S)
        shown = [round(clock_error_s(worker)) for worker in (pair.victim, pair.successor)]
        findings.holds(
            f"logs are off by {shown[0]:+d} s and {shown[1]:+d} s",
            abs(shown[0] - HOUR_S) < HOUR_S / 10 and abs(shown[1] + HOUR_S) < HOUR_S / 10,
        )
        cut_one(testbed, pair.site.gateway(pair.lost[0]), "rst", findings)
        statuses = [testbed.status(gateway_id) for gateway_id in testbed.ids]
        passed_s = monotonic() - began
        worst_s = max(worst_age_s(status) for status in statuses)
        history_s = testbed.rows(OFF_S)[0].off_s
        findings.holds(
            f"oldest time shown {worst_s:.0f} s, in the history {history_s:.0f} s, "
            f"of {passed_s:.0f} s that have passed",
            worst_s <= passed_s and history_s <= passed_s,
        )
        left = [testbed.rows(LEASE, worker.pid)[0].left_s for worker in (pair.victim, pair.successor)]
        findings.holds(
            f"leases end in {left[0]:.1f} s and {left[1]:.1f} s", all(0 < each <= LEASE_S for each in left)
        )
        lost = testbed.held_by(pair.victim)
        testbed.say("kill -9 of the one ahead")
        killed = monotonic()
        pair.victim.send(signal.SIGKILL)
        findings.within("killed: unknown after", since(killed, testbed.wait_for(lost, is_unknown, 12)), 2)
        taken = testbed.wait_for(lost, is_with(pair.successor_id), GIVE_UP_S)
        findings.within("taken over after", since(killed, taken), 12)
        most = pair.site.summary()["max_open_sessions"]
        findings.holds(f"at most {most} session a gateway", most == 1)


def clock_error_s(worker: WorkerProcess) -> float:
    """How far the time in a worker's latest line is ahead of ours, which wrote it at most seconds ago."""
    line = json.loads(worker.log.strip().splitlines()[-1])
    return (datetime.fromisoformat(line["time"]) - datetime.now(UTC)).total_seconds()


def worst_age_s(status: Status) -> float:
    """How far the time in a status that is farthest from the moment of asking is away from it."""
    times = [status[name] for name in TIMES if status.get(name) is not None]
    return max((abs(seconds_between(status["as_of"], time)) for time in times), default=0.0)
