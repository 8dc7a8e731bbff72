"""Workers that die, freeze, are cut off, are asked to end, or come on top."""

import signal
from collections import Counter
from time import monotonic

from chaos.findings import Findings
from chaos.proxy import Mode
from chaos.testbed import Plant, most_sessions, port_of, since, with_port
from chaos.worker_pair import LEASE, Pair, await_calm, is_unknown, is_with, start_pair
from devstack.harness.sandbox import Household
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


def worker_kill(household: Household, findings: Findings) -> None:
    """kill -9."""
    with Plant(household, "worker-kill") as plant:
        pair = start_pair(plant)
        plant.say("kill -9")
        began = monotonic()
        pair.victim.send(signal.SIGKILL)
        _measure_take_over(plant, pair, began, 2, findings)
        _judge_sessions(pair, findings)


def worker_freeze(household: Household, findings: Findings) -> None:
    """SIGSTOP; after the take-over SIGCONT."""
    with Plant(household, "worker-freeze") as plant:
        pair = start_pair(plant)
        plant.say("SIGSTOP")
        began = monotonic()
        pair.victim.send(signal.SIGSTOP)
        _measure_take_over(plant, pair, began, 10, findings)
        _judge_sessions(pair, findings)
        plant.pause(1)
        written = plant.rows(COUNT_EVENTS, pair.victim_id)[0][0]
        died = pair.victim.has_ended
        plant.say("SIGCONT")
        woke = monotonic()
        pair.victim.send(signal.SIGCONT)
        closed = plant.wait(lambda: all(len(g.sessions_closed) >= 1 for g in pair.lost_gateways), AWAKE_S)
        plant.pause(max(0.0, woke + AWAKE_S - monotonic()))
        writes = plant.rows(COUNT_EVENTS, pair.victim_id)[0][0] - written
        findings.holds(
            f"after waking{' (killed while frozen)' if died else ''} it writes {writes}", writes == 0
        )
        findings.holds("its old sockets are closed", closed is not None)


def worker_cut_off(household: Household, findings: Findings) -> None:
    """The way from one worker to PostgreSQL goes dark; everything else works."""
    with Plant(household, "worker-cut-off") as plant:
        server_port = port_of(plant.database_url)
        proxy = plant.start_proxy(server_port)
        pair = start_pair(plant, victims_url=with_port(plant.database_url, server_port, proxy.port))
        plant.say("cut off from PostgreSQL")
        began = monotonic()
        proxy.switch(Mode.DROP)
        # What was under way may have arrived still: asked a moment later.
        plant.pause(0.3)
        lease_ends_at = monotonic() + plant.rows(LEASE, pair.victim.pid)[0].left_s
        closed = plant.wait(lambda: all(len(g.sessions_closed) >= 1 for g in pair.lost_gateways), GIVE_UP_S)
        left_s = None if closed is None else lease_ends_at - closed
        shown = "never, before" if left_s is None else before_or_after(left_s)
        findings.holds(f"sessions let go {shown} its lease ends", left_s is not None and left_s > 0)
        taken = plant.wait_for(pair.lost, is_with(pair.heir_id), GIVE_UP_S)
        findings.within("taken over after", since(began, taken), TAKEN_OVER_LIMIT_S)
        proxy.switch(Mode.OPEN)
        await_calm(plant, pair.site)
        if pair.victim.has_ended:
            findings.note("its guard had to kill it")
        else:
            findings.holds("it is live again afterwards", bool(plant.rows(LEASE, pair.victim.pid)))
        _judge_sessions(pair, findings)


def worker_term(household: Household, findings: Findings) -> None:
    """SIGTERM with gateways that answer; then the other worker, with gateways that are dead."""
    with Plant(household, "worker-term") as plant:
        pair = start_pair(plant)
        plant.say("SIGTERM")
        began = monotonic()
        pair.victim.send(signal.SIGTERM)
        taken = plant.wait_for(pair.lost, is_with(pair.heir_id), GIVE_UP_S)
        ended = pair.victim.wait_for_end(GIVE_UP_S)
        findings.within("another worker has them after", since(began, taken), 2)
        findings.within("exit after", since(began, ended), EXIT_LIMIT_S)
        ends = [gateway.sessions_closed[-1] for gateway in pair.lost_gateways if gateway.sessions_closed]
        clean = sum(end.code == 1000 and end.unsubscribed and end.by == "client" for end in ends)
        findings.holds(f"{clean} of {len(pair.lost)} unsubscribed, closed 1000", clean == len(pair.lost))
        _judge_sessions(pair, findings)
        plant.say("SIGTERM, gateways dead")
        for gateway in pair.site.gateways:
            gateway.freeze()
        began = monotonic()
        pair.heir.send(signal.SIGTERM)
        findings.within(
            "gateways dead: exit after", since(began, pair.heir.wait_for_end(GIVE_UP_S)), EXIT_LIMIT_S
        )


def worker_added(household: Household, findings: Findings) -> None:
    """A second worker comes to a plant that one worker holds."""
    with Plant(household, "worker-added") as plant:
        site, first = plant.start(MANY_GATEWAYS)
        logins = site.summary()["logins"]
        plant.say("a second worker")
        began = monotonic()
        second = plant.start_worker()
        tolerated = max(1, round(MANY_GATEWAYS * 0.05))
        most_unknown = 0

        def is_even() -> bool:
            nonlocal most_unknown
            most_unknown = max(most_unknown, plant.count_in_state("unknown"))
            counts = [len(plant.held_by(each)) for each in (first, second)]
            return (
                max(counts) - min(counts) <= 2 * tolerated
                and sum(counts) == MANY_GATEWAYS
                and plant.count_in_state("connected") == MANY_GATEWAYS
            )

        even = plant.wait(is_even, GIVE_UP_S)
        findings.within("spread evenly after", since(began, even), ADDED_LIMIT_S)
        counts = [len(plant.held_by(each)) for each in (first, second)]
        findings.note(f"{counts[0]} and {counts[1]} of {MANY_GATEWAYS}")
        moved = site.summary()["logins"] - logins
        told = plant.rows(COUNT_REASON, "rebalanced")[0][0]
        findings.note(f"{moved} moved, {told} transitions say rebalanced")
        findings.holds(f"{most_unknown} unknown meanwhile", most_unknown == 0)
        settled = site.summary()["logins"]
        plant.pause(CHURN_WATCH_S)
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
    plant: Plant, pair: Pair, began: float, unknown_limit_s: float, findings: Findings
) -> None:
    unknown = plant.wait_for(pair.lost, is_unknown, TAKEN_OVER_LIMIT_S)
    findings.within("unknown after", since(began, unknown), unknown_limit_s)
    taken = plant.wait_for(pair.lost, is_with(pair.heir_id), GIVE_UP_S)
    findings.within("connected by another worker after", since(began, taken), TAKEN_OVER_LIMIT_S)


def _judge_sessions(pair: Pair, findings: Findings) -> None:
    most = most_sessions(pair.site.gateways)
    findings.holds(f"at most {most} session a gateway", most == 1)
