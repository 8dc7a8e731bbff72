"""Clients of the API that keep it waiting: in crowds, and in every phase of a request."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic

from chaos.findings import Findings
from chaos.testbed import ChaosTestBed, since
from devstack.harness.sandbox import Sandbox

CROWD = 2500
STALLED = 24
POURING = 4
PROBES = 20
LIMIT_S = 0.1
CONNECT_LIMIT_S = 30.0
ARRIVAL_LIMIT_S = 2.0

HEALTH = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BUNDLE = b"GET /api/docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /api/factories HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
CROWDS = {
    f"{CROWD} idle": HEALTH,
    f"{CROWD} half-sent heads": HEALTH[:-2],
    f"{CROWD} silent": b"",
}
STALLING = {
    "stalled bodies": POST + b"Content-Length: 9\r\n\r\n{",
    "stalled chunked bodies": POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{",
    "asked to continue": POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "that take no answer": BUNDLE * 10,
}


def slow_clients(sandbox: Sandbox, findings: Findings) -> None:
    """How long others wait beside them, at the longest."""
    with ChaosTestBed(sandbox, "slow-clients") as testbed:
        for what, begun in CROWDS.items():
            with connected(testbed, CROWD, begun):
                measure(testbed, findings, what)
        for what, begun in STALLING.items():
            with connected(testbed, STALLED, begun):
                measure(testbed, findings, f"{STALLED} {what}")
        with pouring(testbed):
            measure(testbed, findings, f"{POURING} that send without a pause")


def measure(testbed: ChaosTestBed, findings: Findings, what: str) -> None:
    """How long health takes beside them, once all that they sent has arrived."""
    arrived_s = since(monotonic(), testbed.wait(lambda: health_s(testbed) < LIMIT_S / 2, ARRIVAL_LIMIT_S))
    findings.within(f"beside {what} after", arrived_s, ARRIVAL_LIMIT_S)
    findings.within("within", max(health_s(testbed) for _ in range(PROBES)), LIMIT_S)


def health_s(testbed: ChaosTestBed) -> float:
    """How long an answer takes; raises OSError where there is none."""
    return testbed.api.call("GET", "/api/health").took_s


@contextmanager
def connected(testbed: ChaosTestBed, count: int, begun: bytes) -> Iterator[list[socket.socket]]:
    """So many clients that have sent this, and what the API has answered so far is there."""
    testbed.say(f"connecting {count} clients")
    with ExitStack() as opened:
        clients = []
        for _ in range(count):
            address = ("127.0.0.1", testbed.api.port)
            client = opened.enter_context(socket.create_connection(address, CONNECT_LIMIT_S))
            client.sendall(begun)
            clients.append(client)
        if begun == HEALTH:
            for client in clients:
                client.recv(1)
        yield clients


@contextmanager
def pouring(testbed: ChaosTestBed) -> Iterator[None]:
    """Requests one behind the other, faster than they are answered, and an answer that is taken."""
    stopping = threading.Event()

    def repeat(act: Callable[[], object]) -> None:
        with suppress(OSError):
            while not stopping.is_set():
                act()

    with connected(testbed, POURING, HEALTH) as clients:
        threads = []
        for client in clients:
            threads.append(threading.Thread(target=repeat, args=(lambda c=client: c.sendall(HEALTH * 100),)))
            threads.append(threading.Thread(target=repeat, args=(lambda c=client: c.recv(65536),)))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for client in clients:
                client.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(CONNECT_LIMIT_S)
