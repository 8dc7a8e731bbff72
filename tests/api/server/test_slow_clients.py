"""Slow, silent, unresponsive or fast clients: none delays another, and none is kept forever."""

import http.client
import json
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from time import monotonic

import psutil
import pytest

from service.api.server.client_socket import HEAD_TIMEOUT_S
from tests.support.api_server import REQUEST_LIMIT_S as ANSWER_LIMIT_S
from tests.support.api_server import ApiServer, gateway_body
from tests.support.processes import children
from tests.support.waiting import wait_until

HEALTH = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = 24
# Far less than a slow request takes, far more than a quick one on a busy machine.
QUICK_S = 5.0
BUNDLE = b"GET /api/docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
IMPORT = b"POST /api/gateways/import HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
CREATE = b"POST /api/factories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
def sockets() -> Iterator[Callable[[ApiServer], socket.socket]]:
    """Yield a function that opens connections, closed at the end."""
    with ExitStack() as opened:

        def connect(api: ApiServer) -> socket.socket:
            made = socket.create_connection(("127.0.0.1", api.port), ANSWER_LIMIT_S)
            return opened.enter_context(made)

        yield connect


Connect = Callable[[ApiServer], socket.socket]


def answer_on(client: socket.socket) -> http.client.HTTPResponse:
    """Return the next response with its body."""
    with http.client.HTTPResponse(client) as response:
        response.begin()
        response.read()
        return response


def count_answers(received: bytes) -> int:
    """Count the complete response heads."""
    return received.count(b"HTTP/1.1 200 OK\r\n")


def read_to_end(client: socket.socket) -> bytes:
    """Read until the server closes."""
    received = bytearray()
    while part := client.recv(65536):
        received += part
    return bytes(received)


def quick(api: ApiServer) -> None:
    """Assert a quick response."""
    began = monotonic()
    assert api.call("GET", "/api/health").status == 200
    assert monotonic() - began < QUICK_S


@pytest.mark.req("API-02")
def test_a_client_that_does_not_finish_a_head_is_disconnected(api: ApiServer, sockets: Connect) -> None:
    begun = {"nothing": b"", "half a line": b"GET /api/he", "half a head": HEALTH[:-2]}
    clients = [sockets(api) for _ in range(SLOW) for _ in begun]
    for client, part in zip(clients, list(begun.values()) * SLOW, strict=True):
        client.sendall(part)
    for _ in range(20):
        quick(api)
    for client in clients:
        client.settimeout(HEAD_TIMEOUT_S + 10)
        assert client.recv(1) == b""
    quick(api)


@pytest.mark.req("API-02")
@pytest.mark.parametrize(
    "begun",
    [
        CREATE + b"Content-Length: 9\r\n\r\n{",
        CREATE + b"Content-Length: 900000\r\n\r\n" + b" " * 100_000,
        CREATE + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{",
        CREATE + b"Transfer-Encoding: chunked\r\n\r\n9",
        CREATE + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        IMPORT + b"Content-Length: 1000000\r\n\r\nfactory_id",
        HEALTH.replace(b"GET", b"DELETE").replace(b"Host: x", b"Host: x\r\nContent-Length: 99999"),
        BUNDLE,
        BUNDLE * 20,
    ],
    ids=[
        "body", "big body", "chunked", "chunk size", "100-continue", "import", "unread body", "deaf",
        "deaf, pipelined",
    ],
)  # fmt: skip
def test_a_stalled_client_delays_no_other(api: ApiServer, sockets: Connect, begun: bytes) -> None:
    for _ in range(SLOW):
        client = sockets(api)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(begun)
    for _ in range(20):
        quick(api)
    assert api.call("GET", "/api/factories").status == 200
    rows = json.dumps(gateway_body(api.factory()["id"])).encode()
    headers = {"Content-Type": "application/x-ndjson"}
    assert api.call("POST", "/api/gateways/import", body=rows, headers=headers).status == 201


@pytest.mark.req("API-02")
@pytest.mark.parametrize(
    ("poured", "head"),
    [
        (HEALTH * 100, b""),
        (
            b"10\r\n" + b"x" * 16 + b"\r\n",
            HEALTH[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
        ),
        (b"x" * 65536, HEALTH[:-2] + b"Content-Length: 99999999999\r\n\r\n"),
    ],
    ids=["requests", "an unread chunked body", "an unread body"],
)
def test_a_client_sending_without_pause_delays_no_other(
    api: ApiServer, sockets: Connect, head: bytes, poured: bytes
) -> None:
    """It sends faster than the server reads, so there is always input."""
    stopping = threading.Event()

    def pour(client: socket.socket) -> None:
        with suppress(OSError):
            client.sendall(head)
            while not stopping.is_set():
                client.sendall(poured)

    def swallow(client: socket.socket) -> None:
        with suppress(OSError):
            while client.recv(65536):
                pass

    clients = [sockets(api) for _ in range(4)]
    with ThreadPoolExecutor(2 * len(clients)) as pool:
        try:
            for client in clients:
                pool.submit(pour, client)
                pool.submit(swallow, client)
            for _ in range(20):
                quick(api)
        finally:
            stopping.set()
            for client in clients:
                client.shutdown(socket.SHUT_RDWR)


def test_a_dribbled_request_is_answered(api: ApiServer, sockets: Connect) -> None:
    client = sockets(api)
    body = b'{"name": "Slow mill"}'
    head = b"POST /api/factories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for byte in head + b"Content-Length: %d\r\n\r\n" % len(body) + body:
        client.sendall(bytes([byte]))
    assert answer_on(client).status == 201


def test_pipelined_requests_are_answered_in_order(api: ApiServer, sockets: Connect) -> None:
    client = sockets(api)
    sent = [f"n{number}" for number in range(10)]
    client.sendall(
        b"".join(HEALTH.replace(b"Host: x", f"Host: x\r\nX-Request-ID: {name}".encode()) for name in sent)
    )
    buffered = client.makefile("rb")
    returned = []
    for _ in sent:
        assert buffered.readline() == b"HTTP/1.1 200 OK\r\n"
        headers = http.client.parse_headers(buffered)
        buffered.read(int(headers["Content-Length"]))
        returned.append(headers["X-Request-ID"])
    assert returned == sent


def test_the_next_response_follows_that_to_head(api: ApiServer, sockets: Connect) -> None:
    client = sockets(api)
    asked = HEALTH.replace(b"/api/health", b"/api/factories")
    client.sendall(
        asked.replace(b"GET", b"HEAD") + asked.replace(b"Host: x", b"Host: x\r\nConnection: close")
    )
    heads = [part for part in read_to_end(client).split(b"\r\n\r\n") if part.startswith(b"HTTP/1.1 200 OK")]
    assert len(heads) == 2
    lengths = [re.search(rb"\r\nContent-Length: ([0-9]+)", head) for head in heads]
    assert lengths[0] is not None
    assert lengths[1] is not None
    assert lengths[0][1] == lengths[1][1] != b"0"


def test_expect_100_continue_is_answered(api: ApiServer, sockets: Connect) -> None:
    client = sockets(api)
    client.sendall(
        b"POST /api/factories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n"
    )
    expected = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.recv(len(expected), socket.MSG_WAITALL) == expected
    client.sendall(b'{"name": "x"}')
    assert answer_on(client).status == 201


@pytest.mark.parametrize(
    ("version", "header", "is_kept"),
    [
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"close", False),
        (b"1.0", b"keep-alive", True),
        (b"1.0", b"", False),
    ],
)
def test_a_connection_is_kept_open_as_the_client_requests(
    api: ApiServer, sockets: Connect, version: bytes, header: bytes, *, is_kept: bool
) -> None:
    client = sockets(api)
    request = HEALTH.replace(b"1.1", version).replace(b"Host: x", b"Host: x\r\nConnection: " + header)
    client.sendall(request)
    assert answer_on(client).status == 200
    if is_kept:
        client.sendall(request)
        assert answer_on(client).status == 200
    else:
        assert client.recv(1) == b""


def test_an_unread_body_is_not_taken_for_a_request(api: ApiServer, sockets: Connect) -> None:
    client = sockets(api)
    small = HEALTH.replace(b"GET", b"DELETE").replace(
        b"Host: x", b"Host: x\r\nContent-Length: %d" % len(HEALTH)
    )
    client.sendall(small + HEALTH + HEALTH)
    received = b""
    while count_answers(received) == 0:
        received += client.recv(65536)
    assert received.startswith(b"HTTP/1.1 405 ")
    assert count_answers(received) == 1


def test_a_connection_with_an_unread_missing_body_is_closed(api: ApiServer, sockets: Connect) -> None:
    client = sockets(api)
    client.sendall(HEALTH.replace(b"GET", b"DELETE").replace(b"Host: x", b"Host: x\r\nContent-Length: 99999"))
    client.sendall(b"x" * 1000)
    assert read_to_end(client).startswith(b"HTTP/1.1 405 ")


def test_a_silent_keepalive_connection_is_closed(
    start_api: Callable[..., ApiServer], sockets: Connect
) -> None:
    api = start_api(KEEPALIVE_S="1")
    client = sockets(api)
    client.sendall(HEALTH)
    assert answer_on(client).status == 200
    assert client.recv(1) == b""


def test_a_keepalive_connection_outlasts_the_head_timeout(api: ApiServer, sockets: Connect) -> None:
    client = sockets(api)
    client.sendall(HEALTH)
    assert answer_on(client).status == 200
    client.settimeout(HEAD_TIMEOUT_S + 1)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.sendall(HEALTH)
    assert answer_on(client).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections over sockets")
def test_processes_share_connections(start_api: Callable[..., ApiServer], sockets: Connect) -> None:
    api = start_api(API_PROCESSES="2")
    assert api.process is not None
    master = api.process.pid
    processes = wait_until(lambda: two_of(master), 10, "both processes")

    def shares() -> list[int]:
        clients = [sockets(api) for _ in range(32)]
        for client in clients:
            client.sendall(HEALTH)
            assert answer_on(client).status == 200
        held = [clients_of(process, api.port) for process in processes]
        for client in clients:
            client.close()
        return held

    wait_until(lambda: min(shares()) > 0, 30, "both processes to have started")
    assert min(map(sum, zip(*(shares() for _ in range(5)), strict=True))) >= 16


def two_of(master: int) -> list[psutil.Process]:
    """Wait for two serving processes; return them."""
    found = children(master)
    return found if len(found) == 2 else []


def clients_of(process: psutil.Process, port: int) -> int:
    """Count a process's connections to this port."""
    found = process.net_connections("tcp")
    return sum(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in found)


@pytest.mark.req("API-02")
def test_a_stop_waits_for_started_requests(start_api: Callable[..., ApiServer], sockets: Connect) -> None:
    api = start_api()
    assert api.process is not None
    kept = sockets(api)
    kept.sendall(HEALTH)
    assert answer_on(kept).status == 200
    begun = sockets(api)
    begun.sendall(HEALTH[:-2])
    quick(api)  # It came later, so the earlier ones have been accepted.
    api.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Handling signal: term" in api.log_path.read_text(), 10, "the signal")
    for client, rest in ((kept, HEALTH), (begun, b"\r\n")):
        client.sendall(rest)
        last = answer_on(client)
        assert (last.status, last.headers["Connection"]) == (200, "close")
        assert client.recv(1) == b""
    assert api.process.wait(12) == 0


@pytest.mark.req("API-02")
@pytest.mark.parametrize(
    "begun", [BUNDLE * 20, IMPORT + b"Content-Length: 1000000\r\n\r\nx"], ids=["deaf", "body"]
)
def test_a_stop_does_not_wait_for_stalled_clients(
    start_api: Callable[..., ApiServer], sockets: Connect, begun: bytes
) -> None:
    api = start_api()
    client = sockets(api)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(begun)
    quick(api)  # It came later, so the earlier ones are in progress.
    assert api.stop() == 0
    assert "graceful timeout" not in api.log_path.read_text()
