"""Rules for every request: errors, headers, the log, and malformed bytes."""

import http.client
import json
from collections.abc import Callable
from datetime import datetime

import pytest

from service.api.openapi.catalog import is_page
from service.app import create_app
from service.config import ApiConfig
from service.environment import Environment
from tests.support.api.raw_replies import SOME_ID, reply_in
from tests.support.api_server import KEY, REQUEST_LIMIT_S, ApiServer, gateway_body
from tests.support.waiting import wait_until

MEBIBYTE = 1024 * 1024
CHUNKED = (
    b"POST /api/factories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)


def routes() -> list[tuple[str, str]]:
    """Return every method and path of the API, with an id filled in."""
    values = {"DATABASE_URL": "postgresql://localhost/never", "ENCRYPTION_KEY": KEY}
    app = create_app(ApiConfig.read(Environment(values)))
    return [
        (method, rule.rule.replace("<factory_id>", SOME_ID).replace("<gateway_id>", SOME_ID))
        for rule in app.url_map.iter_rules()
        if not is_page(rule)
        for method in sorted(rule.methods or ())
    ]


@pytest.mark.req("API-05", "API-06")
def test_no_route_accepts_unknown_parameters(api: ApiServer) -> None:
    asked = [(method, path) for method, path in routes() if method not in {"HEAD", "OPTIONS"}]
    assert len(asked) >= 24
    for method, path in asked:
        reply = api.call(method, f"{path}?surprise=1")
        assert (reply.status, reply.fields) == (400, ["surprise"]), (method, path)


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/api/nothing", 404, "NOT_FOUND"),
        ("GET", "/api/factories/", 404, "NOT_FOUND"),
        ("GET", "/api//factories", 404, "NOT_FOUND"),
        ("GET", "/api/%00", 404, "NOT_FOUND"),
        ("GET", "/static/x", 404, "NOT_FOUND"),
        ("DELETE", "/api/factories", 405, "METHOD_NOT_ALLOWED"),
        ("POST", f"/api/gateways/{SOME_ID}", 405, "METHOD_NOT_ALLOWED"),
        ("BREW", "/api/health", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_unknown_paths_get_the_usual_error(
    api: ApiServer, method: str, path: str, status: int, code: str
) -> None:
    reply = api.call(method, path)
    assert (reply.status, reply.error["code"], reply.error["details"]) == (status, code, [])
    if status == 405:
        assert "GET" in reply.headers["Allow"].split(", ")


@pytest.mark.req("API-06", "FACTORY-07")
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense-marker", b'{"name": "x"', b'{"name": "\xff"}', b'{"name": "\\ud800"}',
        b'{"name": "x", "metadata": {"\\udc00": 1}}', b'{"name": "x"} marker',
        b'{"metadata":' + b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_is_rejected(api: ApiServer, body: bytes) -> None:
    for method, path in (("POST", "/api/factories"), ("PUT", f"/api/gateways/{SOME_ID}")):
        reply = api.call(method, path, body=body, headers={"Content-Type": "application/json"})
        assert (reply.status, reply.error["code"], reply.fields) == (400, "INVALID_JSON", ["body"])
        assert b"marker" not in reply.body


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_a_body_of_another_type_is_refused(api: ApiServer, headers: dict[str, str]) -> None:
    reply = api.call("POST", "/api/factories", body=b'{"name": "x"}', headers=headers)
    assert (reply.status, reply.error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    utf8 = {"Content-Type": "application/json; charset=UTF-8"}
    assert api.call("POST", "/api/factories", body=b'{"name": "x"}', headers=utf8).status == 201


@pytest.mark.req("API-06")
def test_a_body_of_more_than_a_mebibyte_is_refused(api: ApiServer) -> None:
    json_type = {"Content-Type": "application/json"}
    padded = b'{"name": "x"}'.ljust(MEBIBYTE)
    assert api.call("POST", "/api/factories", body=padded, headers=json_type).status == 201
    reply = api.call("POST", "/api/factories", body=padded + b" ", headers=json_type)
    assert (reply.status, reply.error["code"]) == (413, "PAYLOAD_TOO_LARGE")
    chunk = b"10000\r\n" + b'{"name": "x"}'.ljust(0x10000) + b"\r\n"
    blank = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    chunked = CHUNKED + chunk + blank * 15
    assert reply_in(api.raw(chunked + b"0\r\n\r\n")).status == 201
    assert reply_in(api.raw(chunked + b"1\r\n \r\n0\r\n\r\n")).status == 413


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"marker\r\n\r\n", 400, "BAD_REQUEST"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "BAD_REQUEST"),
        (b"GET /api/health HTTP/9.9\r\n\r\n", 400, "BAD_REQUEST"),
        (b"GET /api/health HTTP/1.1\r\nbad header\r\n\r\n", 400, "BAD_REQUEST"),
        (b"GET /api/health HTTP/1.1\r\nX: a\r\n b\r\n\r\n", 400, "BAD_REQUEST"),
        (b"GET /api/health HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "BAD_REQUEST"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "BAD_REQUEST"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: marker\r\n\r\n", 501, "NOT_IMPLEMENTED"),
        (b"GET /" + b"p" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "URI_TOO_LONG"),
        (b"GET / HTTP/1.1\r\nX: " + b"v" * 5000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\n" + b"X: v\r\n" * 70 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
        (
            CHUNKED + b"marker\r\n",
            400,
            "BAD_REQUEST",
        ),
    ],
)
def test_malformed_requests_get_the_usual_error(
    api: ApiServer, request_bytes: bytes, status: int, code: str
) -> None:
    reply = reply_in(api.raw(request_bytes))
    assert (reply.status, reply.error["code"]) == (status, code)
    assert b"marker" not in reply.body
    [line] = api.requests_logged(reply.error["request_id"])
    assert line["status"] == status
    assert api.answers()


def test_a_request_line_of_8000_octets_is_accepted(api: ApiServer) -> None:
    """RFC 9112, section 3: the minimum that servers should support."""
    target = b"/api/" + b"p" * (8000 - len(b"GET /api/ HTTP/1.1"))
    head = b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert reply_in(api.raw(head)).status == 404


@pytest.mark.req("API-06")
def test_a_partial_body_is_rejected_even_if_valid(api: ApiServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=REQUEST_LIMIT_S)
    connection.putrequest("POST", "/api/factories")
    for name, value in (
        ("X-Request-ID", "half"), ("Content-Type", "application/json"), ("Content-Length", "100"),
    ):  # fmt: skip
        connection.putheader(name, value)
    connection.endheaders(b'{"name": "never"}')
    connection.close()
    [line] = wait_until(lambda: api.requests_logged("half"), what="the request to end")
    assert line["status"] == 400
    assert api.call("GET", "/api/factories").json["pagination"]["total"] == 0


@pytest.mark.req("API-04")
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/health"), ("GET", "/nothing"), ("POST", "/api/factories")]
)
def test_every_response_carries_security_headers(api: ApiServer, method: str, path: str) -> None:
    headers = api.call(method, path).headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert not [name for name in ("Strict-Transport-Security", "Set-Cookie") if name in headers]
    assert headers["Server"] == "gunicorn", "and not its version"


@pytest.mark.req("API-03")
def test_other_origins_may_not_call_unless_configured(api: ApiServer) -> None:
    asked = api.call("GET", "/api/factories", headers={"Origin": "https://console.example.com"})
    assert not [name for name in asked.headers if name.startswith("Access-Control")]


@pytest.mark.req("API-03", "API-04")
def test_configured_origins_proxies_and_https(start_api: Callable[..., ApiServer]) -> None:
    console = "https://console.example.com"
    api = start_api(CORS_ORIGINS=f"{console}, https://b.example", TRUSTED_PROXIES="1", API_PROCESSES="2")
    ours = api.call("GET", "/nothing", headers={"Origin": console}).headers
    assert ours["Access-Control-Allow-Origin"] == console
    exposed = "ETag, Location, Retry-After, WWW-Authenticate, X-Request-ID"
    assert ours["Access-Control-Expose-Headers"] == exposed
    assert "Origin" in ours["Vary"]
    preflight = api.call(
        "OPTIONS",
        f"/api/gateways/{SOME_ID}",
        headers={
            "Origin": console,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert preflight.status == 200
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type"
    for origin in ({"Origin": "https://evil.example"}, {}):
        assert "Access-Control-Allow-Origin" not in api.call("GET", "/api/health", headers=origin).headers
    proxied = api.call("GET", "/api/health", headers={"X-Forwarded-Proto": "https"})
    assert proxied.headers["Strict-Transport-Security"] == "max-age=31556926"


@pytest.mark.req("API-04")
def test_https_is_forced_where_configured_and_cannot_be_claimed(
    start_api: Callable[..., ApiServer],
) -> None:
    api = start_api(FORCE_HTTPS="true")
    for claim in (
        {},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Ssl": "on"},
        {"Forwarded": "proto=https"},
    ):
        reply = api.call("GET", "/api/health", headers=claim)
        assert (reply.status, reply.headers["Location"]) == (308, f"https://127.0.0.1:{api.port}/api/health")
        assert "Strict-Transport-Security" not in reply.headers


@pytest.mark.req("API-04")
def test_https_is_forced_at_the_path_that_clients_use(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(FORCE_HTTPS="true", TRUSTED_PROXIES="1")
    proxied = {"X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/millgate"}
    reply = api.call("GET", "/api/factories?limit=1", headers=proxied)
    expected = f"https://127.0.0.1:{api.port}/millgate/api/factories?limit=1"
    assert (reply.status, reply.headers["Location"]) == (308, expected)


@pytest.mark.req("API-06", "API-07")
def test_head_and_options_work(api: ApiServer) -> None:
    head = api.call("HEAD", "/api/factories")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0
    options = api.call("OPTIONS", "/api/factories")
    assert (options.status, options.body) == (200, b"")
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    "accept", ["*/*", "application/xml", "text/html;q=1, */*;q=0.1", "application/json;q=0", ";"]
)
def test_the_accept_header_is_ignored(api: ApiServer, accept: str) -> None:
    """RFC 9110, section 12.4.1: a server may disregard what it cannot honor."""
    preferred = {"Accept": accept, "Accept-Encoding": "gzip, identity;q=0", "Accept-Language": "de"}
    reply = api.call("GET", "/api/factories", headers=preferred)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.headers["Content-Encoding"] is None
    refused = api.call("HEAD", "/api/nothing", headers=preferred)
    assert (refused.status, refused.body, refused.headers["Content-Type"]) == (404, b"", "application/json")


@pytest.mark.req("API-07")
@pytest.mark.parametrize("offered", ["trace-1", "~" * 128, "!"])
def test_a_request_id_is_returned(api: ApiServer, offered: str) -> None:
    reply = api.call("GET", "/nothing", headers={"X-Request-ID": offered})
    assert reply.headers["X-Request-ID"] == reply.error["request_id"] == offered


@pytest.mark.req("API-07")
@pytest.mark.parametrize("offered", ["", "two words", "x" * 129, "caf\xe9", '{"a"\t:1}'])
def test_an_unprintable_request_id_is_replaced(api: ApiServer, offered: str) -> None:
    first, second = (api.call("GET", "/api/health", headers={"X-Request-ID": offered}) for _ in range(2))
    made = first.headers["X-Request-ID"]
    assert len(made) == 32
    assert made not in {offered, second.headers["X-Request-ID"]}


@pytest.mark.req("API-07", "GATEWAY-07")
def test_each_request_is_one_log_line_without_secrets(api: ApiServer) -> None:
    body = gateway_body(SOME_ID, password="marker-body")
    headers = {"X-Request-ID": "one-line", "Authorization": "marker-header", "User-Agent": "marker-agent"}
    reply = api.call("POST", "/api/gateways?token=marker-query", body, headers=headers)
    assert reply.status == 400
    [line] = api.requests_logged("one-line")
    assert {name: line[name] for name in ("level", "method", "path", "status")} == {
        "level": "info", "method": "POST", "path": "/api/gateways", "status": 400,
    }  # fmt: skip
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None
    assert 0 < line["duration_ms"] < 5000
    assert "marker" not in json.dumps(line)
    assert "marker" not in api.log_path.read_text()


@pytest.mark.req("API-06", "API-07", "GATEWAY-07")
def test_a_crash_is_answered_safely_and_logged_under_its_request_id(
    start_api: Callable[..., ApiServer],
) -> None:
    api = start_api(application="tests.support.crashing_app:create_app()")
    body = {"password": "marker-password"}
    reply = api.call("POST", "/api/crash", body, headers={"X-Request-ID": "crash-1"})
    assert (reply.status, reply.error["code"]) == (500, "INTERNAL_ERROR")
    assert b"Zero" not in reply.body
    [line] = api.requests_logged("crash-1")
    assert (line["status"], line["level"]) == (500, "error")
    [crash] = [
        line for line in api.log_lines() if line.get("request_id") == "crash-1" and "traceback" in line
    ]
    assert "ZeroDivisionError" in crash["traceback"]
    assert "crashing_app.py" in crash["traceback"]
    assert "marker" not in api.log_path.read_text()
    assert "Content-Security-Policy" in reply.headers
    refused = api.call("POST", "/api/refused-row")
    assert (refused.status, refused.error["code"]) == (500, "DATABASE_ERROR")
    log = api.log_path.read_text()
    assert "gateways_url_scheme" in log, "the constraint is logged"
    assert "Failing row" not in log, "and the row is not"
