"""A healthy gateway connects soon beside many that hang, flood or cannot be resolved."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Self

import psutil
import pytest

from service.gateway_states import State
from simulator import Gateway
from tests.support.raw_server import CONT, TEXT, Peer, RawServer, frame
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import PATIENT
from tests.workers.conftest import StartSite, StartWorker

pytestmark = pytest.mark.req("ORCH-06")

# Default times: the short ones of other tests would hide that a hanging gateway hangs for long.
UNHURRIED = {
    **PATIENT,
    "TCP_TIMEOUT_S": "10",
    "UPGRADE_TIMEOUT_S": "6",
    "LOGIN_TIMEOUT_S": "6",
    "LEASE_S": "10",
    "BACKOFF_MAX_S": "10",
}
CROWD = 40
# It takes 0.2 s alone, and a minute or more if it has to wait for the others.
SOON_S = 6.0


def message(message_type: str, data: str) -> bytes:
    """Return a frame with a gateway's message; `data` is JSON."""
    return frame(
        TEXT, b'{"Type":"%s","From":"SERV","Target":"UI","Data":%s}' % (message_type.encode(), data.encode())
    )


@pytest.fixture
def healthy(start_site: StartSite) -> list[Gateway]:
    return list(start_site(3).gateways)


def says_nothing(peer: Peer) -> None:
    """Never answer the login."""
    with suppress(EOFError):
        while True:
            peer.receive()


class Silent:
    """Accepts connections and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def assert_each_connects_soon(testbed: WorkerTestBed, gateways: list[Gateway]) -> None:
    """Add gateways one after the other; assert that each connects soon."""
    for gateway in gateways:
        row_id = testbed.add(gateway.gateway_id, gateway.url)
        testbed.wait_for_state(row_id, "connected", SOON_S)


@pytest.mark.parametrize("make_server", [Silent, lambda: RawServer(says_nothing)], ids=["upgrade", "login"])
def test_a_healthy_gateway_connects_beside_hanging_ones(
    make_server: Callable[[], Silent | RawServer],
    testbed: WorkerTestBed,
    start_worker: StartWorker,
    healthy: list[Gateway],
) -> None:
    start_worker(**UNHURRIED, MAX_HANDSHAKES="4")
    with make_server() as server:
        row_ids = testbed.add_all((f"hangs-{number}", f"{server.url}/{number}") for number in range(CROWD))
        # First all are new; later all but the healthy one have hung before.
        assert_each_connects_soon(testbed, healthy[:2])
        failed = "SELECT count(*) AS number FROM gateway_events WHERE reason_code LIKE '%%_timeout'"
        wait_until(
            lambda: testbed.rows(failed)[0].number >= CROWD, 40, "every one of the others to fail once"
        )
        assert_each_connects_soon(testbed, healthy[2:])
        for row_id in row_ids:
            testbed.delete(row_id)


@pytest.fixture
def silent_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make look-ups of *.silent hang, as the system's do without an answer; yield the requested names."""
    asked: list[str] = []
    over = threading.Event()
    getaddrinfo = socket.getaddrinfo

    def lookup(host: str, *arguments: object, **options: object) -> object:
        if not host.endswith(".silent"):
            known = "127.0.0.1" if host.endswith(".known") else host
            return getaddrinfo(known, *arguments, **options)  # type: ignore[arg-type]
        asked.append(host)
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    yield asked
    over.set()


def test_a_healthy_gateway_connects_beside_unresolvable_names(
    testbed: WorkerTestBed, start_worker: StartWorker, healthy: list[Gateway], silent_name_server: list[str]
) -> None:
    start_worker(**{**UNHURRIED, "TCP_TIMEOUT_S": "3"})
    # Two gateways per name share a look-up.
    hanging = testbed.add_all((f"hangs-{n}", f"ws://gw-{n // 2}.silent:5000/{n}") for n in range(2 * CROWD))
    by_ip, by_localhost, by_name = (one.url for one in healthy)
    by_localhost = by_localhost.replace("127.0.0.1", "localhost")
    by_name = by_name.replace("127.0.0.1", "mill.known")
    for number, url in enumerate((by_ip, by_localhost, by_name)):
        testbed.wait_for_state(testbed.add(f"healthy-{number}", url), "connected", SOON_S)
    states = "SELECT reason_code FROM gateway_events WHERE to_state = 'retrying'"
    wait_until(lambda: len(testbed.rows(states)) >= 2 * CROWD, 20, "every name to be given up once")
    assert {row.reason_code for row in testbed.rows(states)} == {"dns_failed"}
    assert len(silent_name_server) == len(set(silent_name_server)) == CROWD
    for row_id in hanging:
        testbed.delete(row_id)


class Pouring:
    """Logs in correctly, then sends the same bytes endlessly."""

    def __init__(self, *then: bytes) -> None:
        self._then = then

    def __call__(self, peer: Peer) -> None:
        peer.receive()
        peer.send(message("RTN_LOGIN", '{"Success": true}'))
        peer.receive()
        peer.socket.settimeout(60)
        with suppress(OSError):
            while True:
                for piece in self._then:
                    peer.send(piece)


HUGE = message("NOT_DYN_READING", "[" + ",".join(["{}"] * 1_300_000) + "]")
"""Almost 4 MiB, and 90 MiB of objects."""


def test_a_healthy_gateway_connects_beside_floods_of_huge_messages(
    testbed: WorkerTestBed, start_worker: StartWorker, healthy: list[Gateway]
) -> None:
    worker = start_worker(**UNHURRIED)
    assert_each_connects_soon(testbed, healthy[:1])
    before_bytes = psutil.Process().memory_info().rss
    with RawServer(Pouring(HUGE)) as server:
        row_ids = testbed.add_all((f"pours-{n}", f"{server.url}/{n}") for n in range(20))
        for row_id in row_ids:
            testbed.wait_for_state(row_id, "connected", SOON_S)
        wait_until(lambda: worker.registry.counters().messages >= 60, 30, "three messages of each")
        assert_each_connects_soon(testbed, healthy[1:])
        # This process sends them, too; a single message's objects need as much memory.
        assert psutil.Process().memory_info().rss - before_bytes < 80 * 2**20
        assert {testbed.status(row_id).state for row_id in row_ids} == {"connected"}
        for row_id in row_ids:
            testbed.delete(row_id)
        wait_until(lambda: not any(worker.state(row_id) for row_id in row_ids))


def test_empty_fragments_count_against_the_budget(testbed: WorkerTestBed, start_worker: StartWorker) -> None:
    worker = start_worker(**UNHURRIED, MAX_MESSAGES_PER_S="2000")
    whole = b'{"Type":"NOT_DYN_TEMP","Data":{}}'
    piece = frame(TEXT, whole, fin=0) + frame(CONT, fin=0) * 998 + frame(CONT)
    with RawServer(Pouring(piece)) as server:
        began = monotonic()
        row_id = testbed.add("pieces", server.url)
        wait_until(lambda: worker.registry.counters().messages >= 6, 10, "6,000 pieces")
        # A burst of one second at the start, and one message beyond that.
        assert worker.registry.counters().messages <= 2 * (monotonic() - began + 1) + 2
        assert worker.state(row_id) is State.CONNECTED
        testbed.delete(row_id)
        wait_until(lambda: worker.state(row_id) is None)


def test_a_flood_in_place_of_the_login_is_read_at_a_limited_rate(
    testbed: WorkerTestBed, start_worker: StartWorker
) -> None:
    sent: list[list[int]] = []
    """A list per session."""

    def pour(peer: Peer) -> None:
        sent.append(messages := [])
        peer.receive()
        peer.socket.settimeout(60)
        with suppress(OSError):
            while True:
                peer.send(HUGE)
                messages.append(1)

    start_worker(**{**UNHURRIED, "LOGIN_TIMEOUT_S": "4"})
    with RawServer(pour) as server:
        row_id = testbed.add("pours", server.url)
        failures = "SELECT reason_code, reason_phase FROM gateway_events WHERE to_state = 'retrying'"
        wait_until(lambda: testbed.rows(failures), 15, "the login to be given up")
        assert testbed.rows(failures)[0] == ("login_timeout", "login")
        # A burst of 4 MiB, 1 MiB a second, and the bytes in transit and in the system's buffers.
        assert len(sent[0]) <= 6
        testbed.delete(row_id)
