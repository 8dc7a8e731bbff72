"""Requests that servers and proxies have parsed differently are rejected, or parsed in one way only."""

import pytest

from tests.support.api.raw_replies import reply_in
from tests.support.api_server import ApiServer

GET = b"GET /api/health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/factories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
# ruff: noqa: E501 (one request per line)
HEAD_BYTES = 300_000


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(GET + CLOSE + b"\r\n", 200, id="well-formed"),
        pytest.param(b"GET /api/health HTTP/1.0\r\n\r\n", 200, id="HTTP/1.0 needs no host"),
        pytest.param(b"GET /api/health HTTP/1.1\r\n" + CLOSE + b"\r\n", 400, id="no host"),
        pytest.param(GET + b"Host: x\r\n" + CLOSE + b"\r\n", 400, id="two hosts"),
        pytest.param(GET + b"Host: y\r\n" + CLOSE + b"\r\n", 400, id="two different hosts"),
        pytest.param(POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="CL and TE"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 400, id="TE and CL"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400, id="two lengths"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, id="the same length twice"),
        pytest.param(POST + b"Content-Length: +2\r\n\r\n{}", 400, id="a signed length"),
        pytest.param(POST + b"Content-Length: 0x2\r\n\r\n{}", 400, id="a hexadecimal length"),
        pytest.param(POST + b"Content-Length: 2, 2\r\n\r\n{}", 400, id="a list of lengths"),
        pytest.param(POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, id="chunked twice"),
        pytest.param(POST + CLOSE + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400, id="identity, chunked"),
        pytest.param(POST + CLOSE + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, id="a coding"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, id="an unknown coding"),
        pytest.param(POST + b"Transfer_Encoding: chunked\r\n" + CLOSE + b"\r\n", 400, id="an underscore"),
        pytest.param(POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="1.0"),
        pytest.param(GET.replace(b"\r\n", b"\n") + b"\n", 400, id="bare LF"),
        pytest.param(b"GET /api/health HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400, id="bare LF between headers"),
        pytest.param(GET + b"X: y\rZ: z\r\n\r\n", 400, id="bare CR"),
        pytest.param(GET + b"X: y\r\n folded\r\n\r\n", 400, id="obs-fold"),
        pytest.param(GET + b" X: y\r\n\r\n", 400, id="a space before a name"),
        pytest.param(GET + b"X : y\r\n\r\n", 400, id="a space after a name"),
        pytest.param(GET + b"X: a\0b\r\n\r\n", 400, id="NUL"),
        pytest.param(b"GET /api/health  HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="two spaces"),
        pytest.param(b"GET /api/he alth HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="a space in the path"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2;\n\r\n{}\r\n0\r\n\r\n", 400, id="an LF in a chunk's size"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400, id="a prefixed chunk's size"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n", 400, id="a chunk without end"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 5000, 400, id="a long chunk's size"),
        pytest.param(GET + b"X: %s\r\n" % (b"v" * HEAD_BYTES), 431, id="a header without end"),
        pytest.param(GET + b"X: v\r\n" * (HEAD_BYTES // 6), 431, id="headers without end"),
        pytest.param(GET + b"X: %s\r\n" % (b"v" * 2000) * 20 + CLOSE + b"\r\n", 431, id="too much in many headers"),
        pytest.param(GET + b"X: %s\r\n" % (b"v" * 2000) * 12 + CLOSE + b"\r\n", 200, id="much in many headers"),
        pytest.param(b"GET /" + b"p" * HEAD_BYTES, 414, id="a path without end"),
    ],
)  # fmt: skip
def test_a_request_has_one_interpretation(api: ApiServer, request_bytes: bytes, status: int) -> None:
    """The response arrives even if the server stopped reading; the connection ends after it."""
    reply = reply_in(api.raw(request_bytes))
    assert reply.status == status
    if status != 200:
        assert reply.error["code"]


@pytest.mark.req("API-06")
@pytest.mark.parametrize("status", [413, 415, 405])
def test_a_client_gets_the_response_to_an_unread_body(api: ApiServer, status: int) -> None:
    """If the server closed with unread input, the response could be lost."""
    body = b" " * 2_000_000
    head = {
        413: POST,
        415: POST.replace(b"application/json", b"text/plain"),
        405: POST.replace(b"POST", b"DELETE"),
    }[status]
    reply = reply_in(api.raw(head + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body) + body))
    assert reply.status == status
