"""Requests for other hosts (DNS rebinding) and writes from other origins are rejected."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from service.api.middleware.origin_check import origin_in
from tests.support.api_server import ApiServer, Reply, gateway_body
from tests.support.database_server import cloned_database

PAGE = "https://console.example.com"
StartApi = Callable[..., ApiServer]
# The host name by which proxies and browsers call the API.
PUBLIC = "plant.example.com"


@pytest.fixture(scope="module")
def servers(
    server_admin: psycopg.Connection, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ApiServer, ApiServer]]:
    """Yield a default server, and one with a trusted proxy and an allowed origin, both without tokens."""
    extra = {"CORS_ORIGINS": PAGE, "TRUSTED_PROXIES": "1", "ALLOWED_HOSTS": f"{PUBLIC}, 192.0.2.0/24"}
    with ExitStack() as stack:
        url = stack.enter_context(cloned_database(server_admin, server_url))
        logs = tmp_path_factory.mktemp("logs")
        plain = stack.enter_context(ApiServer(url, logs / "plain.log"))
        yield plain, stack.enter_context(ApiServer(url, logs / "proxied.log", extra))


@pytest.fixture
def api(servers: tuple[ApiServer, ApiServer]) -> ApiServer:
    return servers[0]


@pytest.fixture
def proxied(servers: tuple[ApiServer, ApiServer]) -> ApiServer:
    return servers[1]


def raw_status(api: ApiServer, head: str) -> int:
    return int(api.raw(f"{head}\r\n\r\n".encode("latin-1")).split(b" ")[1])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/health"),
        ("GET", "/api/health/ready"),
        ("GET", "/api/factories"),
        ("GET", "/api/docs"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("HEAD", "/api/factories"),
        ("OPTIONS", "/api/factories"),
        ("POST", "/api/factories"),
        ("DELETE", "/api/health"),
        ("PATCH", "/api/gateways/nobody"),
        ("TRACE", "/api/health"),
    ],
)
def test_an_unknown_host_gets_421(api: ApiServer, method: str, path: str) -> None:
    for host in (f"evil.example:{api.port}", "EVIL.example", "127.0.0.1.nip.io", "192.0.2.1", "0.0.0.0"):  # noqa: S104
        reply = api.call(method, path, headers={"Host": host, "Origin": f"http://{host}"})
        assert reply.status == 421
        if method != "HEAD":
            assert reply.error["code"] == "MISDIRECTED_REQUEST"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost.:{port}", "127.0.0.1:{port}", "[::1]:{port}", "127.9.9.9", "[::ffff:127.0.0.1]"],
)
def test_every_name_of_this_machine_is_served(api: ApiServer, host: str) -> None:
    named = host.format(port=api.port)
    assert api.call("GET", "/api/factories", headers={"Host": named}).status == 200
    written = api.call(
        "POST", "/api/factories", {"name": "x"}, headers={"Host": named, "Origin": f"http://{named.lower()}"}
    )
    assert written.status == 201


def test_listed_hosts_are_served(proxied: ApiServer) -> None:
    for host in (PUBLIC, f"{PUBLIC}.:443", "192.0.2.255:3000"):
        assert proxied.call("GET", "/api/factories", headers={"Host": host}).status == 200
    assert proxied.call("GET", "/api/factories", headers={"Host": "192.0.3.1"}).status == 421


def test_both_hosts_of_a_proxied_request_have_to_be_known(api: ApiServer, proxied: ApiServer) -> None:
    for host, forwarded, status in [
        ("127.0.0.1:3000", PUBLIC, 200),
        ("127.0.0.1:3000", "evil.example", 421),
        ("evil.example", PUBLIC, 421),
        ("evil.example", "localhost", 421),
        # The proxy's own value is the last.
        ("localhost", f"evil.example, {PUBLIC}", 200),
        ("localhost", f"{PUBLIC}, evil.example", 421),
    ]:
        headers = {"Host": host, "X-Forwarded-Host": forwarded}
        assert proxied.call("GET", "/api/factories", headers=headers).status == status
    # Without proxies the header is ignored.
    claimed = {"Host": "evil.example", "X-Forwarded-Host": "localhost"}
    assert api.call("GET", "/api/factories", headers=claimed).status == 421


def test_where_tokens_are_required_any_host_is_served(start_api: StartApi) -> None:
    api = start_api(AUTH="required")
    assert api.call("GET", "/api/health", headers={"Host": "any.example"}).status == 200
    assert api.call("GET", "/api/factories", headers={"Host": "any.example"}).status == 401


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /api/health HTTP/1.1\r\nConnection: close", 400),
        ("GET /api/health HTTP/1.1\r\nHost:\r\nConnection: close", 400),
        ("GET /api/health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close", 400),
        ("GET /api/health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close", 400),
        ("GET /api/health HTTP/1.1\r\nHost: localhost, evil.example\r\nConnection: close", 400),
        ("GET /api/health HTTP/1.1\r\nHost: evil.example/localhost\r\nConnection: close", 400),
        ("GET /api/health HTTP/1.1\r\nHost: u@localhost\r\nConnection: close", 400),
        ("GET /api/health HTTP/1.1\r\nHost: loc\xe4lhost\r\nConnection: close", 400),
        ("GET http://evil.example/api/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close", 421),
        ("GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close", 200),
        ("GET /api/health HTTP/1.0", 200),
        ("GET /api/health HTTP/1.0\r\nHost: evil.example", 421),
    ],
)
def test_a_request_with_other_than_one_host_is_rejected(api: ApiServer, head: str, status: int) -> None:
    assert raw_status(api, head) == status


FOREIGN: list[Mapping[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "http://127.0.0.1:{port}@evil.example"},
    {"Origin": "http://127.0.0.1:{port} http://evil.example"},
    {"Origin": "http://127.0.0.1:{port}/"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "anything"},
    {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
]


def filled(headers: Mapping[str, str], api: ApiServer) -> dict[str, str]:
    return {name: value.format(port=api.port) for name, value in headers.items()}


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(headers.values()))
def test_another_origin_changes_nothing(api: ApiServer, headers: Mapping[str, str]) -> None:
    gateway = f"/api/gateways/{api.gateway(api.factory()['id'], str(headers))['id']}"
    before = api.call("GET", gateway)
    sent = filled(headers, api)
    plain = {**sent, "Content-Type": "text/plain"}
    for path in ("connect", "disconnect", "restore", "test"):
        assert_refused(api.call("POST", f"{gateway}/{path}", headers=sent))
    assert_refused(api.call("POST", "/api/gateways/disconnect", {"all": True}, headers=sent))
    assert_refused(api.call("POST", "/api/factories", body=b'{"name": "x"}', headers=plain))
    assert_refused(api.call("DELETE", gateway, headers=sent))
    assert_refused(api.call("PUT", gateway, {"name": "x"}, headers=sent))
    assert api.call("GET", gateway).headers["ETag"] == before.headers["ETag"]
    assert api.call("GET", gateway, headers=sent).status == 200


def assert_refused(reply: Reply) -> None:
    assert (reply.status, reply.error["code"]) == (403, "CROSS_ORIGIN")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "HTTP://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_same_origin_pages_and_programs_may_write(api: ApiServer, headers: Mapping[str, str]) -> None:
    assert api.call("POST", "/api/factories", {"name": "x"}, headers=filled(headers, api)).status == 201


def test_a_listed_page_may_write_and_others_get_no_cors(proxied: ApiServer) -> None:
    listed = proxied.call(
        "POST", "/api/factories", {"name": "x"}, headers={"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    )
    assert (listed.status, listed.headers["Access-Control-Allow-Origin"]) == (201, PAGE)
    for origin in (
        "https://evil.example",
        f"{PAGE}.evil.example",
        f"x{PAGE}",
        "http://console.example.com",
        "null",
    ):
        sent = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = proxied.call("OPTIONS", "/api/factories", headers=sent)
        refused = proxied.call("POST", "/api/factories", {"name": "x"}, headers=sent)
        read = proxied.call("GET", "/api/factories", headers=sent)
        assert_refused(refused)
        for reply in (preflight, refused, read):
            assert not [name for name in reply.headers if name.startswith("Access-Control-Allow")]
            assert "Origin" in reply.headers["Vary"]
    assert "Origin" in listed.headers["Vary"]
    assert "Origin" in proxied.call("GET", "/api/factories").headers["Vary"]
    preflight = proxied.call(
        "OPTIONS", "/api/factories", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Origin" in preflight.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers


def test_after_trusted_proxies_their_headers_give_the_origin(proxied: ApiServer) -> None:
    def write(origin: str, **headers: str) -> int:
        sent = {"Origin": origin, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return proxied.call("POST", "/api/factories", {"name": "x"}, headers=sent).status

    forwarded = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": PUBLIC, "Host": "127.0.0.1:3000"}
    assert write(f"https://{PUBLIC}", **forwarded) == 201
    assert write(f"https://{PUBLIC}:443", **forwarded) == 201
    assert write(f"https://{PUBLIC}", X_Forwarded_Proto="https", Host=PUBLIC) == 201
    assert write(f"http://{PUBLIC}", **forwarded) == 403
    assert write("http://127.0.0.1:3000", **forwarded) == 403
    assert write("https://evil.example", **forwarded) == 403


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://a", ("http", "a", 80)),
        ("https://A:443", ("https", "a", 443)),
        ("http://[::1]:3000", ("http", "::1", 3000)),
        ("app://localhost", ("app", "localhost", None)),
        ("null", None),
        ("", None),
        ("a", None),
        ("//a", None),
        ("http://", None),
        ("http://a/", None),
        ("http://a?b", None),
        ("http://a#b", None),
        ("http://u@a", None),
        ("http://a:b", None),
        ("http://a:99999", None),
        ("http://[::1", None),
    ],
)
def test_origins(text: str, origin: object) -> None:
    assert origin_in(text) == origin


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://.*"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "a.example"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "http://a.example"),
        ("ALLOWED_HOSTS", "a.example:80"),
        ("ALLOWED_HOSTS", "10.0.0.1/8"),
    ],
)
def test_an_invalid_setting_stops_the_start(name: str, value: str, database_url: str, tmp_path: Path) -> None:
    api = ApiServer(database_url, tmp_path / "api.log", {name: value})
    assert api.spawn().wait(20) == 1
    assert name in (tmp_path / "api.log").read_text()


@pytest.mark.req("API-04")
def test_the_https_redirect_keeps_the_method_and_the_host(start_api: StartApi) -> None:
    api = start_api(FORCE_HTTPS="true", AUTH="required", ALLOWED_HOSTS=PUBLIC)
    for method, path in [("GET", "/api/factories?q=%C3%A4%26"), ("POST", "/api/factories"), ("PUT", "/a//b")]:
        for host in (PUBLIC, f"127.0.0.1:{api.port}"):
            reply = api.call(method, path, headers={"Host": host})
            assert (reply.status, reply.headers["Location"]) == (308, f"https://{host}{path}")
        stranger = api.call(method, path, headers={"Host": "evil.example"})
        assert (stranger.status, stranger.error["code"]) == (421, "MISDIRECTED_REQUEST")
        assert "Location" not in stranger.headers
    assert raw_status(api, "GET /api/health HTTP/1.0") == 421
    headers = {"Host": PUBLIC, "X-Forwarded-Host": "evil.example"}
    assert api.call("GET", "/", headers=headers).headers["Location"] == f"https://{PUBLIC}/"


def test_a_redirected_request_has_no_effect(start_api: StartApi) -> None:
    api = start_api(FORCE_HTTPS="true", TRUSTED_PROXIES="1")
    secure = {"X-Forwarded-Proto": "https"}
    created = api.call("POST", "/api/factories", {"name": "x"}, headers=secure).json
    body = json.dumps(gateway_body(created["id"])).encode()
    assert api.call("POST", "/api/gateways", body=body).status == 308
    assert api.call("GET", "/api/gateways", headers=secure).json["data"] == []
