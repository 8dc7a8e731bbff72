"""Requests as bytes: the errors of malformed ones, and the meaning of valid ones."""

import socket

import pytest

from tests.support.api.raw_replies import SOME_ID, reply_in
from tests.support.api_server import REQUEST_LIMIT_S, ApiServer

CREATE = b"POST /api/factories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = CREATE + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"name": "x"}'
GET = b"GET /api/health HTTP/1.1\r\n"
CRLF = "Lines must end with CRLF, not with LF alone."
CONTENT_LENGTH = "Content-Length must be one number in digits, without Transfer-Encoding."


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            "GET /api/factories?q=Mühle HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            "The path and query must be in ASCII: percent-encode other characters as UTF-8.",
        ),
        (
            "GET /api/Mühle HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"),
            "The path and query must be in ASCII: percent-encode other characters as UTF-8.",
        ),
        (
            b"GET /marker\r\nHost: x\r\n\r\n",
            "The request line must be a method, a path and HTTP/1.1, separated by spaces.",
        ),
        (
            b"get /marker HTTP/1.1\r\nHost: x\r\n\r\n",
            "The method must be written in capital letters, such as GET.",
        ),
        (b"GET /marker HTTP/9.9\r\nHost: x\r\n\r\n", "The HTTP version must be 1.1 or 1.0."),
        (GET + b"Connection: close\r\n\r\n", "The Host header is required."),
        (
            GET + b"Host: x\r\nHost: marker\r\n\r\n",
            "The Host header must appear once, without control characters.",
        ),
        (GET + b"Host: mar ker\r\nConnection: close\r\n\r\n", "The Host header is invalid."),
        (b"GET /api/health HTTP/1.1\nHost: x\n\n", CRLF),
        (GET + b"Host: x\nmarker: x\n", CRLF),
        (GET + b"Host: x\r\nX: a\r\n marker\r\n\r\n", "A header must be on one line."),
        (GET + b"Host: x\r\nmarker\r\n\r\n", "A header must be a name, a colon and a value on one line."),
        (
            GET + b"Host: x\r\nmarker name: a\r\n\r\n",
            "A header name may contain letters, digits and hyphens only.",
        ),
        (CREATE + b"Content-Length: +14\r\n\r\n", CONTENT_LENGTH),
        (CREATE + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", CONTENT_LENGTH),
        (CREATE + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", CONTENT_LENGTH),
        (
            CREATE + b"Transfer-Encoding: gzip\r\n\r\n",
            "Transfer-Encoding must be chunked, once, and in HTTP/1.1.",
        ),
        (CHUNKED + b"marker\r\n", "A body chunk must start with its size in hexadecimal digits."),
        (CHUNKED + b"1\r\nxmarker\r\n", "A body chunk must end with CRLF where its size says."),
    ],
)
def test_a_malformed_request_gets_a_reason(api: ApiServer, sent: bytes, message: str) -> None:
    received = reply_in(api.raw(sent if b"\r\nHost: x" not in sent else close_behind(sent)))
    assert (received.status, received.error["code"], received.error["message"]) == (
        400, "BAD_REQUEST", message
    )  # fmt: skip
    assert b"marker" not in received.body


def close_behind(request: bytes) -> bytes:
    """Return the request with `Connection: close`."""
    return request.replace(b"\r\nHost: x", b"\r\nConnection: close\r\nHost: x", 1)


@pytest.mark.req("API-06")
@pytest.mark.parametrize("version", [b"1.2", b"1.9"])
def test_a_later_http_version_is_answered_in_1_1(api: ApiServer, version: bytes) -> None:
    received = api.raw(b"GET /api/health HTTP/" + version + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (
        reply_in(api.raw(b"GET /api/health HTTP/" + version + b"\r\nConnection: close\r\n\r\n")).status == 400
    ), "it needs a Host"


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://x/api/health", "x", 200),
        ("http://x/api/health", "evil.example", 200),
        ("http://evil.example/api/health", "x", 421),
        ("http://evil.example:80/api/health", "x", 421),
        ("http://user@x/api/health", "x", 400),
        ("http:///api/health", "evil.example", 421),
    ],
)
def test_the_host_of_an_absolute_target_counts(api: ApiServer, target: str, host: str, status: int) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert reply_in(api.raw(request.encode())).status == status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /api/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n", 404),
        (b"PUT /api/factories HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n", 405),
        (CREATE.replace(b"json", b"xml") + b"Content-Length: 13\r\n", 415),
        (CREATE + b"Content-Length: 1048578\r\n", 413),
        (CREATE + b"Origin: http://evil.example\r\nContent-Length: 13\r\n", 403),
        (CREATE.replace(b"Host: x", b"Host: evil") + b"Content-Length: 13\r\n", 421),
        (b"POST /api/gateways/import HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n", 415),
        (f"PUT /api/factories/{SOME_ID}?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n".encode(), 400),
    ],
)
def test_an_unwanted_body_gets_no_100_continue(api: ApiServer, head: bytes, status: int) -> None:
    reply = reply_in(api.raw(head + b"Expect: 100-continue\r\n\r\n"))
    assert (reply.status, reply.headers["Connection"]) == (status, "close")


@pytest.mark.req("API-02")
def test_a_connection_is_kept_after_100_continue(api: ApiServer) -> None:
    with socket.create_connection(("127.0.0.1", api.port), REQUEST_LIMIT_S) as client:
        for framing, body in (
            (b"Content-Length: 13\r\n", BODY),
            (b"Transfer-Encoding: chunked\r\n", b"d\r\n" + BODY + b"\r\n0\r\n\r\n"),
            (b"Content-Length: 13\r\n", BODY),
        ):
            client.sendall(CREATE + framing + b"Expect: 100-continue\r\n\r\n")
            assert client.recv(len(CONTINUE), socket.MSG_WAITALL) == CONTINUE
            client.sendall(body)
            received = b""
            while b"}" not in received:
                received += client.recv(65536)
            assert received.startswith(b"HTTP/1.1 201 ")
            assert b"\r\nConnection: keep-alive\r\n" in received
