"""Missing or incomplete bodies: the response names the problem."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import product

import pytest

from tests.support.api.raw_replies import reply_in
from tests.support.api_server import REQUEST_LIMIT_S, ApiServer, Reply
from tests.support.impatient_app import BODY_S, STALL_S

Begun = tuple[str, bytes]
ROUTES = {
    "JSON": b"POST /api/factories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n",
    "import": b"POST /api/gateways/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n",
    "optional": (
        b"POST /api/gateways/00000000-0000-7000-8000-00000000dead/connect HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\n"
    ),
}
# Each has started and not ended; then more of it follows, endlessly.
FRAMES = {
    "length": (b"Content-Length: 1000\r\n\r\n{", b" "),
    "chunk": (b"Transfer-Encoding: chunked\r\n\r\n64\r\n{", b" "),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n \r\n"),
}
CASES = list(product(ROUTES, FRAMES))


@pytest.fixture
def impatient(start_api: Callable[..., ApiServer]) -> ApiServer:
    """Yield a server with body timeouts of seconds instead of a minute."""
    return start_api(application="tests.support.impatient_app:create_app()")


def begin(api: ApiServer, opened: ExitStack, route: str, frame: str) -> socket.socket:
    """Open a connection and send the start of a request."""
    client = opened.enter_context(socket.create_connection(("127.0.0.1", api.port), REQUEST_LIMIT_S))
    client.sendall(ROUTES[route] + FRAMES[frame][0])
    return client


def read_answer(client: socket.socket) -> Reply:
    """Return the response, after which the server has to close."""
    received = bytearray()
    with suppress(ConnectionResetError):  # a client that still sends may lose the close, not the response
        while part := client.recv(65536):
            received += part
    return reply_in(bytes(received))


def message(reply: Reply) -> tuple[int, str, str]:
    """Return the response's message; assert that nothing follows it on its connection."""
    assert reply.headers["Connection"] == "close"
    return reply.status, reply.error["code"], reply.error["message"]


@pytest.mark.req("API-02", "API-06")
def test_a_body_that_pauses_gets_an_error_saying_so(impatient: ApiServer) -> None:
    with ExitStack() as opened:
        clients = [begin(impatient, opened, *case) for case in CASES]
        for case, client in zip(CASES, clients, strict=True):
            assert message(read_answer(client)) == (
                408, "REQUEST_TIMEOUT", f"The body paused for {STALL_S:.0f} s."
            ), case  # fmt: skip


@pytest.mark.req("API-02", "API-06")
def test_a_body_that_takes_too_long_gets_an_error_saying_so(impatient: ApiServer) -> None:
    over = threading.Event()

    def dribble() -> None:
        while not over.wait(STALL_S / 8):
            for (_, frame), client in zip(CASES, clients, strict=True):
                with suppress(OSError):
                    client.sendall(FRAMES[frame][1])

    with ExitStack() as opened:
        clients = [begin(impatient, opened, *case) for case in CASES]
        dribbling = threading.Thread(target=dribble)
        dribbling.start()
        try:
            for case, client in zip(CASES, clients, strict=True):
                assert message(read_answer(client)) == (
                    408, "REQUEST_TIMEOUT", f"The body took longer than {BODY_S:.0f} s."
                ), case  # fmt: skip
        finally:
            over.set()
            dribbling.join()


@pytest.mark.req("API-06")
def test_a_body_that_ends_early_gets_an_error_saying_so(api: ApiServer) -> None:
    with ExitStack() as opened:
        for case in CASES:
            client = begin(api, opened, *case)
            client.shutdown(socket.SHUT_WR)
            reply = read_answer(client)
            wanted = "The body is shorter than its Content-Length."
            if case[1] != "length":
                wanted = "The body ended before its last chunk."
            assert (reply.status, reply.error["code"], reply.error["message"]) == (
                400, "BAD_REQUEST", wanted
            ), case  # fmt: skip


@pytest.mark.req("API-05", "API-06")
def test_late_bodies_are_documented(api: ApiServer) -> None:
    document = json.loads(api.call("GET", "/api/openapi.json").body)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    with_body = [operation for operation in operations if "requestBody" in operation]
    assert with_body
    for operation in with_body:
        assert "408" in operation["responses"], operation["operationId"]
