"""Workers that die, freeze, are cut off, are asked to end, or come on top."""

import signal
from collections import Counter
from time import monotonic

from chaos.findings import Findings
from chaos.proxy import Mode
from chaos.testbed import ChaosTestBed, most_sessions, port_of, since, with_port
from chaos.worker_pair import LEASE, WorkerPair, await_calm, is_unknown, is_with, start_worker_pair
from devstack.harness.sandbox import Sandbox
from simulator import Gateway

GIVE_UP_S = 40.0
TAKEN_OVER_LIMIT_S = 12.0
EXIT_LIMIT_S = 10.0
AWAKE_S = 5.0
MANY_GATEWAYS = 40
ADDED_LIMIT_S = 30.0
CHURN_WATCH_S = 15.0

COUNT_EVENTS = "SELECT count(*) FROM gateway_events WHERE worker_id = %s"
COUNT_REASON = "SELECT count(*) FROM gateway_events WHERE reason_code = %s"


def worker_kill(sandbox: Sandbox, findings: Findings) -> None:
    """kill -9."""
    with ChaosTestBed(sandbox, "worker-kill") as testbed:
        pair = start_worker_pair(testbed)
        testbed.say("kill -9")
        began = monotonic()
        pair.victim.send(signal.SIGKILL)
        _measure_take_over(testbed, pair, began, 2, findings)
        _judge_sessions(pair, findings)


def worker_freeze(sandbox: Sandbox, findings: Findings) -> None:
    """SIGSTOP; after the take-over SIGCONT."""
    with ChaosTestBed(sandbox, "worker-freeze") as testbed:
        pair = start_worker_pair(testbed)
        testbed.say("SIGSTOP")
        began = monotonic()
        pair.victim.send(signal.SIGSTOP)
        _measure_take_over(testbed, pair, began, 10, findings)
        _judge_sessions(pair, findings)
        testbed.pause(1)
        written = testbed.rows(COUNT_EVENTS, pair.victim_id)[0][0]
        died = pair.victim.has_ended
        testbed.say("SIGCONT")
        woke = monotonic()
        pair.victim.send(signal.SIGCONT)
        closed = testbed.wait(lambda: all(len(g.sessions_closed) >= 1 for g in pair.lost_gateways), AWAKE_S)
        testbed.pause(max(0.0, woke + AWAKE_S - monotonic()))
        writes = testbed.rows(COUNT_EVENTS, pair.victim_id)[0][0] - written
        findings.holds(
            f"after waking{' (killed while frozen)' if died else ''} it writes {writes}", writes == 0
        )
        findings.holds("its old sockets are closed", closed is not None)


def worker_cut_off(sandbox: Sandbox, findings: Findings) -> None:
    """The way from one worker to PostgreSQL goes dark; everything else works."""
    with ChaosTestBed(sandbox, "worker-cut-off") as testbed:
        server_port = port_of(testbed.database_url)
        proxy = testbed.start_proxy(server_port)
        pair = start_worker_pair(
            testbed, victims_url=with_port(testbed.database_url, server_port, proxy.port)
        )
        testbed.say("cut off from PostgreSQL")
        began = monotonic()
        proxy.switch(Mode.DROP)
        # What was under way may have arrived still: asked a moment later.
        testbed.pause(0.3)
        lease_ends_at = monotonic() + testbed.rows(LEASE, pair.victim.pid)[0].left_s
        closed = testbed.wait(lambda: all(len(g.sessions_closed) >= 1 for g in pair.lost_gateways), GIVE_UP_S)
        left_s = None if closed is None else lease_ends_at - closed
        shown = "never, before" if left_s is None else before_or_after(left_s)
        findings.holds(f"sessions let go {shown} its lease ends", left_s is not None and left_s > 0)
        taken = testbed.wait_for(pair.lost, is_with(pair.successor_id), GIVE_UP_S)
        findings.within("taken over after", since(began, taken), TAKEN_OVER_LIMIT_S)
        proxy.switch(Mode.OPEN)
        await_calm(testbed, pair.site)
        if pair.victim.has_ended:
            findings.note("its guard had to kill it")
        else:
            findings.holds("it is live again afterwards", bool(testbed.rows(LEASE, pair.victim.pid)))
        _judge_sessions(pair, findings)


def worker_term(sandbox: Sandbox, findings: Findings) -> None:
    """SIGTERM with gateways that answer; then the other worker, with gateways that are dead."""
    with ChaosTestBed(sandbox, "worker-term") as testbed:
        pair = start_worker_pair(testbed)
        testbed.say("SIGTERM")
        began = monotonic()
        pair.victim.send(signal.SIGTERM)
        taken = testbed.wait_for(pair.lost, is_with(pair.successor_id), GIVE_UP_S)
        ended = pair.victim.wait_for_end(GIVE_UP_S)
        findings.within("another worker has them after", since(began, taken), 2)
        findings.within("exit after", since(began, ended), EXIT_LIMIT_S)
        ends = [gateway.sessions_closed[-1] for gateway in pair.lost_gateways if gateway.sessions_closed]
        clean = sum(end.code == 1000 and end.unsubscribed and end.by == "client" for end in ends)
        findings.holds(f"{clean} of {len(pair.lost)} unsubscribed, closed 1000", clean == len(pair.lost))
        _judge_sessions(pair, findings)
        testbed.say("SIGTERM, gateways dead")
        for gateway in pair.site.gateways:
            gateway.freeze()
        began = monotonic()
        pair.successor.send(signal.SIGTERM)
        findings.within(
            "gateways dead: exit after", since(began, pair.successor.wait_for_end(GIVE_UP_S)), EXIT_LIMIT_S
        )


def worker_added(sandbox: Sandbox, findings: Findings) -> None:
    """A second worker starts while one worker holds all gateways."""
    with ChaosTestBed(sandbox, "worker-added") as testbed:
        site, first = testbed.start(MANY_GATEWAYS)
        logins = site.summary()["logins"]
        testbed.say("a second worker")
        began = monotonic()
        second = testbed.start_worker()
        tolerated = max(1, round(MANY_GATEWAYS * 0.05))
        most_unknown = 0

        def is_even() -> bool:
            nonlocal most_unknown
            most_unknown = max(most_unknown, testbed.count_in_state("unknown"))
            counts = [len(testbed.held_by(each)) for each in (first, second)]
            return (
                max(counts) - min(counts) <= 2 * tolerated
                and sum(counts) == MANY_GATEWAYS
                and testbed.count_in_state("connected") == MANY_GATEWAYS
            )

        even = testbed.wait(is_even, GIVE_UP_S)
        findings.within("spread evenly after", since(began, even), ADDED_LIMIT_S)
        counts = [len(testbed.held_by(each)) for each in (first, second)]
        findings.note(f"{counts[0]} and {counts[1]} of {MANY_GATEWAYS}")
        moved = site.summary()["logins"] - logins
        told = testbed.rows(COUNT_REASON, "rebalanced")[0][0]
        findings.note(f"{moved} moved, {told} transitions say rebalanced")
        findings.holds(f"{most_unknown} unknown meanwhile", most_unknown == 0)
        settled = site.summary()["logins"]
        testbed.pause(CHURN_WATCH_S)
        churn = site.summary()["logins"] - settled
        findings.holds(f"{churn} moved in the {CHURN_WATCH_S:g} s after", churn == 0)
        most = most_sessions(site.gateways)
        findings.holds(f"at most {most} session a gateway", most == 1)
        _judge_endings(site.gateways, findings)


def before_or_after(left_s: float) -> str:
    """How long before a moment, or after it."""
    return f"{abs(left_s):.2f} s {'before' if left_s > 0 else 'after'}"


def _judge_endings(gateways: list[Gateway], findings: Findings) -> None:
    ends = Counter(end.code for gateway in gateways for end in gateway.sessions_closed)
    findings.holds(f"close codes {dict(ends)}", set(ends) <= {1000})


def _measure_take_over(
    testbed: ChaosTestBed, pair: WorkerPair, began: float, unknown_limit_s: float, findings: Findings
) -> None:
    unknown = testbed.wait_for(pair.lost, is_unknown, TAKEN_OVER_LIMIT_S)
    findings.within("unknown after", since(began, unknown), unknown_limit_s)
    taken = testbed.wait_for(pair.lost, is_with(pair.successor_id), GIVE_UP_S)
    findings.within("connected by another worker after", since(began, taken), TAKEN_OVER_LIMIT_S)


def _judge_sessions(pair: WorkerPair, findings: Findings) -> None:
    most = most_sessions(pair.site.gateways)
    findings.holds(f"at most {most} session a gateway", most == 1)
