"""Crowds that hang or pour: how soon a healthy gateway connects that is added beside them."""

import signal
from collections.abc import Mapping, Sequence
from time import monotonic

from websockets.frames import Frame, Opcode

from chaos.findings import Findings
from chaos.flooding_gateways import PouringGateways
from chaos.testbed import ChaosTestBed, since, urls_of
from chaos.worker_process import SILENT_NAMES_DIRECTORY, WorkerProcess
from devstack.harness.sandbox import Sandbox
from simulator import Fault, Gateway

HANGING_UPGRADES = 1000
HANGING_LOGINS = 500
SILENT_NAMES = 300
POURING = 60
IN_PIECES = 2
# Right after the crowd, when nobody is known yet, and once all of it have failed at least once.
ADDED_EARLY, ADDED_LATE = 2, 3
BETWEEN_S = 3.0
HOSTS = ("localhost", "127.0.0.1", "127.0.0.1")
HOSTS_BY_NAME = ("mill.known", "localhost", "127.0.0.1")
SOON_S = 2.0
GIVE_UP_S = 90.0
MEASURED_S = 15.0

HUGE = b'{"Type":"NOT_DYN_READING","From":"SERV","Target":"UI","Data":[%s]}' % b",".join([b"{}"] * 1_390_000)
MESSAGE = b'{"Type":"NOT_DYN_TEMP","From":"SERV","Target":"UI","Data":{}}'
HUGE_FRAME = Frame(Opcode.TEXT, HUGE).serialize(mask=False)
FIRST_PIECE = Frame(Opcode.TEXT, MESSAGE, fin=False).serialize(mask=False)
EMPTY_PIECE = Frame(Opcode.CONT, b"", fin=False).serialize(mask=False)
LAST_PIECE = Frame(Opcode.CONT, b"").serialize(mask=False)
PIECES = FIRST_PIECE + 998 * EMPTY_PIECE + LAST_PIECE
MOST_RSS_BYTES = 300 * 2**20
MOST_CORES = 0.5
MOST_CORES_IN_PIECES = 0.1

COUNT_TRIED = """
SELECT count(DISTINCT gateway_id)::bigint AS tried FROM gateway_events
WHERE to_state IN ('connected', 'retrying')
"""
REASONS = """
SELECT reason_code AS code, count(*)::bigint AS count FROM gateway_events
WHERE to_state = 'retrying' GROUP BY reason_code ORDER BY reason_code
"""


def hanging_upgrades(sandbox: Sandbox, findings: Findings) -> None:
    """They accept TCP, and never answer the upgrade."""
    _beside_faulty(sandbox, findings, "hanging-upgrades", HANGING_UPGRADES, Fault.SILENT_UPGRADE)


def hanging_logins(sandbox: Sandbox, findings: Findings) -> None:
    """They upgrade, and never answer the login."""
    _beside_faulty(sandbox, findings, "hanging-logins", HANGING_LOGINS, Fault.SILENT_LOGIN)


def _beside_faulty(sandbox: Sandbox, findings: Findings, name: str, count: int, fault: Fault) -> None:
    with ChaosTestBed(sandbox, name) as testbed:
        crowd = testbed.start_site(count, "BAD-", shared_port=True)
        crowd.fault(fault)
        worker = testbed.start_worker()
        _beside(testbed, findings, urls_of(crowd), worker)
        testbed.say("the worker is replaced")
        worker.send(signal.SIGTERM)
        worker.wait_for_end(GIVE_UP_S)
        testbed.start_worker()
        began = monotonic()
        connected = testbed.wait(
            lambda: testbed.count_in_state("connected") == ADDED_EARLY + ADDED_LATE, GIVE_UP_S
        )
        findings.within("with another worker: all connected after", since(began, connected), SOON_S)


def silent_names(sandbox: Sandbox, findings: Findings) -> None:
    """Names whose name server never answers, beside an address, `localhost` and a name that resolves."""
    with ChaosTestBed(sandbox, "silent-names") as testbed:
        crowd = {f"BAD-{n:04d}": f"ws://gateway-{n}.silent:5000" for n in range(SILENT_NAMES)}
        _beside(
            testbed,
            findings,
            crowd,
            testbed.start_worker(runs_first=SILENT_NAMES_DIRECTORY),
            hosts=HOSTS_BY_NAME,
        )
        reasons = {row.code: row.count for row in testbed.rows(REASONS)}
        told = ", ".join(f"{code} {count}" for code, count in reasons.items())
        findings.holds(f"the crowd's reasons: {told}", set(reasons) == {"dns_failed"})


def huge_messages(sandbox: Sandbox, findings: Findings) -> None:
    """They log in, and then send 4 MiB of empty objects, again and again."""
    with ChaosTestBed(sandbox, "huge-messages") as testbed, PouringGateways(HUGE_FRAME) as crowd:
        worker = testbed.start_worker()
        crowd_urls = crowd.urls(f"BAD-{n:04d}" for n in range(POURING))
        _beside(testbed, findings, crowd_urls, worker)
        cores, most_bytes = _use(testbed, worker)
        connected = testbed.count_in_state("connected")
        findings.holds(f"{connected} connected", connected == POURING + ADDED_EARLY + ADDED_LATE)
        findings.holds(f"{most_bytes / 2**20:.0f} MiB of memory (≤ 300)", most_bytes <= MOST_RSS_BYTES)
        findings.holds(f"{cores:.2f} of a core (≤ {MOST_CORES:g})", cores <= MOST_CORES)


def empty_pieces(sandbox: Sandbox, findings: Findings) -> None:
    """They send messages in a thousand pieces, all but the first of them empty."""
    with ChaosTestBed(sandbox, "empty-pieces") as testbed, PouringGateways(PIECES) as crowd:
        worker = testbed.start_worker()
        crowd_urls = crowd.urls(f"BAD-{n:04d}" for n in range(IN_PIECES))
        _beside(testbed, findings, crowd_urls, worker)
        cores, _ = _use(testbed, worker)
        findings.holds(f"{cores:.2f} of a core (≤ {MOST_CORES_IN_PIECES:g})", cores <= MOST_CORES_IN_PIECES)


def _beside(
    testbed: ChaosTestBed,
    findings: Findings,
    crowd_urls: Mapping[str, str],
    worker: WorkerProcess,
    hosts: Sequence[str] = HOSTS,
) -> None:
    """Adds a crowd, and healthy gateways one after the other: at once, and when the crowd is known."""
    healthy = testbed.start_site(ADDED_EARLY + ADDED_LATE)
    testbed.say(f"registering {len(crowd_urls)} gateways")
    testbed.register(crowd_urls)
    early, late = healthy.gateways[:ADDED_EARLY], healthy.gateways[ADDED_EARLY:]
    findings.within("added at once: connected after", _slowest_s(testbed, early, hosts), SOON_S)
    known = testbed.wait(
        lambda: testbed.rows(COUNT_TRIED)[0].tried >= len(crowd_urls) + ADDED_EARLY, GIVE_UP_S
    )
    findings.holds("each of the crowd was tried", known is not None)
    findings.within("added later: connected after", _slowest_s(testbed, late, hosts), SOON_S)
    steady = sum((one.logins, one.open_sessions) == (1, 1) for one in healthy.gateways)
    findings.holds(
        f"{steady} of {len(healthy.gateways)} of them undisturbed", steady == len(healthy.gateways)
    )
    findings.holds("the worker lives", not worker.has_ended)


def _slowest_s(testbed: ChaosTestBed, gateways: Sequence[Gateway], hosts: Sequence[str]) -> float | None:
    """Registers one after the other, each with its host in another form."""
    slowest = 0.0
    for gateway, host in zip(gateways, hosts, strict=False):
        testbed.register({gateway.gateway_id: gateway.url.replace("127.0.0.1", host)})
        began = monotonic()
        took_s = since(began, testbed.wait_for([gateway.gateway_id], _is_connected, GIVE_UP_S))
        if took_s is None:
            return None
        slowest = max(slowest, took_s)
        testbed.pause(BETWEEN_S)
    return slowest


def _is_connected(status: Mapping[str, object]) -> bool:
    return status["state"] == "connected"


def _use(testbed: ChaosTestBed, worker: WorkerProcess) -> tuple[float, int]:
    """The worker's share of a core, and the most memory it was seen with, over a while."""
    began, before_s, most_bytes = monotonic(), worker.cpu_s, 0
    while monotonic() - began < MEASURED_S:
        testbed.pause(0.1)
        most_bytes = max(most_bytes, worker.rss_bytes)
    return (worker.cpu_s - before_s) / (monotonic() - began), most_bytes
