"""Messages: too many of one gateway, and a day's worth of all."""

import json
import statistics
import sys
from time import monotonic
from typing import Any

from chaos.findings import Findings
from chaos.testbed import EMAIL, ChaosTestBed, since, urls_of
from chaos.worker_process import WorkerProcess
from devstack.harness.line_process import LineProcess
from devstack.harness.sandbox import Sandbox
from simulator import Gateway, Site

FLOOD_PER_S = 5000
OTHERS = 24
TOLERATED_FACTOR = 2.0
GIVE_UP_S = 30.0
# Counts are written every ten seconds or so: over at least this long.
COUNTED_S = 5.0

DAY_GATEWAYS = 20
DAY_MESSAGES = 172_800
DAY_CUTS = 200
DAY_TAKES_S = 40.0
# Two days first: until the allocator of every thread has what it will ever need.
WARM_UP_S = 75.0
WARM_UP_CUTS_PER_S = 10.0
DAY_LIMIT_S = 120.0
TOLERATED_GROWTH = 0.05

MESSAGES = "SELECT coalesce(sum(messages_received), 0)::bigint AS messages FROM gateway_connections"
MESSAGES_OF = """
SELECT messages_received AS messages, extract(epoch FROM last_message_at)::float8 AS at
FROM gateway_connections WHERE gateway_id = %s
"""
COUNT_EVENTS = "SELECT count(*) AS events FROM gateway_events"


class OtherSite:
    """Gateways in a process of their own: what they send costs us no time."""

    def __init__(self, testbed: ChaosTestBed, count: int, prefix: str) -> None:
        command = (sys.executable, "-m", "simulator", "--email", EMAIL, "--notify-every-s", "0")
        counted = (*command, "--gateways", str(count), "--prefix", prefix)
        environment = {"SIMULATOR_PASSWORD": testbed.password}
        self._child = LineProcess(
            testbed.sandbox, f"simulator-{prefix}", counted, testbed.directory, environment
        )
        testbed.on_close(self._child.close)
        self.urls: dict[str, str] = {
            each["gateway_id"]: each["url"] for each in self._child.greeting["gateways"]
        }

    def tell(self, **command: object) -> dict[str, Any]:
        """A command of the simulator; its answer."""
        return self._child.ask(json.dumps(command))

    def flood(self, messages_per_s: int) -> None:
        """From their next connections on, which they get at once, all send without end."""
        for gateway_id in self.urls:
            self.tell(fault=gateway_id, kind="flood", messages_per_s=messages_per_s)
            self.tell(drop=gateway_id, how="rst")


def flood(sandbox: Sandbox, findings: Findings) -> None:
    """One gateway that sends 5,000 messages a second; how soon the others' statuses follow meanwhile."""
    with ChaosTestBed(sandbox, "flood") as testbed:
        others = testbed.start_site(OTHERS)
        loud = OtherSite(testbed, 1, "LOUD-")
        testbed.register({**urls_of(others), **loud.urls})
        testbed.start_worker()
        testbed.await_connected(testbed.ids)
        testbed.say("delays without a flood")
        calm_s = _delays_s(testbed, others)
        testbed.await_connected(testbed.ids)
        loud.flood(FLOOD_PER_S)
        gateway_id = next(iter(loud.urls))
        testbed.wait(lambda: _count(testbed, gateway_id)[0] > 0, GIVE_UP_S)
        before = _count(testbed, gateway_id)
        testbed.say("delays with a flood")
        flooded_s = _delays_s(testbed, others)
        testbed.wait(lambda: _count(testbed, gateway_id)[1] > before[1] + COUNTED_S, GIVE_UP_S)
        after = _count(testbed, gateway_id)
        rate = (after[0] - before[0]) / max(0.001, after[1] - before[1])
        status = testbed.status(gateway_id)
        dropped = status["state"] != "connected" and status.get("reason") is not None
        findings.holds(
            f"of {FLOOD_PER_S} messages/s {rate:.0f} are read" + (", then dropped" if dropped else ""),
            dropped or 0 < rate < FLOOD_PER_S / 2,
        )
        calm, flooded = statistics.median(calm_s), statistics.median(flooded_s)
        findings.holds(
            f"the others' status delay {calm * 1000:.0f} ms without, {flooded * 1000:.0f} ms with the flood "
            f"(medians of {OTHERS}; longest {max(calm_s) * 1000:.0f} and {max(flooded_s) * 1000:.0f} ms)",
            flooded <= TOLERATED_FACTOR * calm,
        )


def _count(testbed: ChaosTestBed, gateway_id: str) -> tuple[int, float]:
    row = testbed.rows(MESSAGES_OF, testbed.ids[gateway_id])[0]
    return int(row.messages), float(row.at or 0)


def _delays_s(testbed: ChaosTestBed, site: Site) -> list[float]:
    return [_delay_s(testbed, gateway) for gateway in site.gateways]


def _delay_s(testbed: ChaosTestBed, gateway: Gateway) -> float:
    """From a cut at the gateway to the status that says so."""
    gateway.stop_listening()
    began = monotonic()
    gateway.drop("rst")
    told = testbed.sandbox.wait_until(
        lambda: testbed.status(gateway.gateway_id)["state"] != "connected", GIVE_UP_S, poll_interval_s=0.002
    )
    gateway.start_listening()
    delay_s = since(began, told)
    return GIVE_UP_S if delay_s is None else delay_s


def memory(sandbox: Sandbox, findings: Findings) -> None:
    """A day: 20 gateways, each with a message every 10 s and ten cuts; in 40 s."""
    with ChaosTestBed(sandbox, "memory", {"BACKOFF_MAX_S": "0.1", "BACKOFF_INITIAL_S": "0.1"}) as testbed:
        site = OtherSite(testbed, DAY_GATEWAYS, "DAY-")
        site.flood(round(DAY_MESSAGES / DAY_GATEWAYS / DAY_TAKES_S))
        testbed.register(site.urls)
        worker = testbed.start_worker()
        testbed.await_connected(testbed.ids)
        testbed.say("warming up")
        _live(testbed, site, WARM_UP_CUTS_PER_S, until=monotonic() + WARM_UP_S)
        before_bytes = _rss_bytes(testbed, worker)
        began, messages, events = monotonic(), _messages(testbed), _events(testbed)
        testbed.say("a day begins")
        while monotonic() < began + DAY_LIMIT_S:
            _live(testbed, site, DAY_CUTS / DAY_TAKES_S, until=monotonic() + 5)
            if _messages(testbed) - messages >= DAY_MESSAGES and _events(testbed) - events >= 4 * DAY_CUTS:
                break
        took_s = monotonic() - began
        after_bytes = _rss_bytes(testbed, worker)
        messages, events = _messages(testbed) - messages, _events(testbed) - events
        findings.note(
            f"a day = {DAY_GATEWAYS} gateways, a message each 10 s, 10 cuts a gateway: "
            f"{messages:,} messages, {events:,} transitions in {took_s:.0f} s"
        )
        findings.holds("that is a whole day", messages >= DAY_MESSAGES and events >= 4 * DAY_CUTS)
        growth = after_bytes / before_bytes - 1
        findings.holds(
            f"RSS {before_bytes / 2**20:.1f} MiB after warm-up, {after_bytes / 2**20:.1f} MiB at the end "
            f"({growth:+.1%}, ±5 %)",
            abs(growth) <= TOLERATED_GROWTH,
        )


def _live(testbed: ChaosTestBed, site: OtherSite, cuts_per_s: float, until: float) -> None:
    """Cuts one gateway after the other."""
    gateway_ids = list(site.urls)
    while monotonic() < until:
        gateway_ids.append(gateway_ids.pop(0))
        site.tell(drop=gateway_ids[0], how="rst")
        testbed.pause(1 / cuts_per_s)


def _rss_bytes(testbed: ChaosTestBed, worker: WorkerProcess) -> float:
    """The mean of a few looks."""
    looks = []
    for _ in range(5):
        looks.append(worker.rss_bytes)
        testbed.pause(0.2)
    return statistics.mean(looks)


def _messages(testbed: ChaosTestBed) -> int:
    return int(testbed.rows(MESSAGES)[0].messages)


def _events(testbed: ChaosTestBed) -> int:
    return int(testbed.rows(COUNT_EVENTS)[0].events)
