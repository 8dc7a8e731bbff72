"""Faults of a gateway, or of the way to it."""

from datetime import datetime
from time import monotonic

from chaos.findings import Findings
from chaos.proxy import Mode
from chaos.testbed import ChaosTestBed, since, urls_of
from devstack.harness.sandbox import Sandbox
from simulator import Fault, Gateway
from simulator.gateway import Cut

CUTS: tuple[Cut, ...] = ("rst", "fin", "close")
DOWN_S = 2.0
GIVE_UP_S = 40.0
# The limit is the worker's; telling takes a report and a question.
TELLING_S = 0.5
ATTEMPT_LIMIT_S = 30.0
# Longer than all deadlines of an attempt together.
SLOW_BYTE_S = 0.5

ATTEMPT = """
SELECT
    g.device_id, failed.reason_code AS code, failed.reason_phase AS phase,
    extract(epoch FROM failed.at - began.at)::float8 AS took_s
FROM gateways AS g
JOIN LATERAL (
    SELECT * FROM gateway_events
    WHERE gateway_id = g.id AND to_state = 'retrying' ORDER BY id LIMIT 1
) AS failed ON TRUE
JOIN LATERAL (
    SELECT * FROM gateway_events
    WHERE gateway_id = g.id AND to_state IN ('connecting', 'connected') AND id < failed.id
        AND (to_state = 'connecting' OR failed.from_state = 'connected')
    ORDER BY id DESC LIMIT 1
) AS began ON TRUE
"""


def gateway_cut(sandbox: Sandbox, findings: Findings) -> None:
    """Each kind of end: how soon the status says so, and how soon it is connected again."""
    with ChaosTestBed(sandbox, "gateway-cut") as testbed:
        site, _ = testbed.start(len(CUTS) + 1)
        for how, gateway in zip(CUTS, site.gateways, strict=False):
            testbed.say(f"cutting by {how}")
            cut_one(testbed, gateway, how, findings)
        steady = site.gateways[-1]
        findings.holds("the other gateway undisturbed", (steady.logins, steady.open_sessions) == (1, 1))


def cut_one(testbed: ChaosTestBed, gateway: Gateway, how: Cut, findings: Findings) -> None:
    """Cuts a gateway that has a port of its own, keeps it away for a moment, and measures both ways."""
    gateway.stop_listening()
    began = monotonic()
    gateway.drop(how)
    told = testbed.wait_for([gateway.gateway_id], lambda status: status["state"] != "connected", GIVE_UP_S)
    findings.within(f"{how}: said after", since(began, told), 1)
    testbed.pause(DOWN_S)
    gateway.start_listening()
    back_at = due_at = monotonic()

    def is_connected() -> bool:
        nonlocal due_at
        status = testbed.status(gateway.gateway_id)
        if status["state"] == "retrying" and status["next_attempt_at"] is not None:
            due_at = max(back_at, monotonic() + seconds_between(status["as_of"], status["next_attempt_at"]))
        return bool(status["state"] == "connected")

    connected_at = testbed.wait(is_connected, GIVE_UP_S)
    findings.within("connected, after the back-off,", since(due_at, connected_at), 1)


def half_open(sandbox: Sandbox, findings: Findings) -> None:
    """A network that goes dark without a word, with the default limit and with a shorter one."""
    with (
        ChaosTestBed(sandbox, "half-open") as patient,
        ChaosTestBed(
            sandbox, "half-open-short", {"PING_INTERVAL_S": "2", "LIVENESS_TIMEOUT_S": "5"}
        ) as hasty,
    ):
        cut_at: dict[str, float] = {}
        for name, testbed in (("patient", patient), ("hasty", hasty)):
            site = testbed.start_site(2)
            dark = site.gateways[0]
            proxy = testbed.start_proxy(int(dark.url.rpartition(":")[2]))
            testbed.register({**urls_of(site), dark.gateway_id: f"ws://127.0.0.1:{proxy.port}"})
            testbed.start_worker()
            testbed.await_connected(testbed.ids)
            testbed.say("the network of one gateway goes dark")
            cut_at[name] = monotonic()
            proxy.switch(Mode.DROP)
        for name, testbed, limit_s in (("hasty", hasty, 5), ("patient", patient, 25)):
            told = testbed.wait_for(["AP-0001"], lambda status: status["state"] != "connected", GIVE_UP_S)
            findings.within(f"limit {limit_s} s: said after", since(cut_at[name], told), limit_s + TELLING_S)
            status = testbed.status("AP-0001")
            reason = (status.get("reason") or {}).get("code")
            findings.holds(f"reason {reason}", reason in {"ping_timeout", "connect_timeout"})
            steady_state = testbed.status("AP-0002")["state"]
            findings.holds(f"the other {steady_state}", steady_state == "connected")


def dribble(sandbox: Sandbox, findings: Findings) -> None:
    """Answers that come a byte at a time, and frames that stop in their middle."""
    with ChaosTestBed(sandbox, "dribble") as testbed:
        site = testbed.start_site(6)
        *slow, steady = site.gateways
        slow[0].fault(Fault.DRIBBLE_UPGRADE, byte_interval_s=SLOW_BYTE_S)
        slow[1].fault(Fault.DRIBBLE_LOGIN, byte_interval_s=SLOW_BYTE_S)
        slow[2].fault(Fault.HALF_FRAME, phase="login")
        slow[3].fault(Fault.HALF_FRAME, phase="session")
        proxy = testbed.start_proxy(int(slow[4].url.rpartition(":")[2]))
        proxy.switch(Mode.STALL)
        testbed.register({**urls_of(site), slow[4].gateway_id: f"ws://127.0.0.1:{proxy.port}"})
        testbed.start_worker()
        testbed.wait(lambda: len(testbed.rows(ATTEMPT)) >= len(slow), GIVE_UP_S)
        names = (
            "upgrade dribbled",
            "login dribbled",
            "stall in login",
            "stall in session",
            "stall on the way",
        )
        ended = {row.device_id: row for row in testbed.rows(ATTEMPT)}
        for name, gateway in zip(names, slow, strict=True):
            row = ended.get(gateway.gateway_id)
            code = "" if row is None else f" ({row.code})"
            findings.within(
                f"{name}{code}: ended after", None if row is None else row.took_s, ATTEMPT_LIMIT_S
            )
        findings.holds("the other gateway undisturbed", (steady.logins, steady.open_sessions) == (1, 1))


def seconds_between(earlier: str, later: str) -> float:
    """Between two times as the API writes them."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
