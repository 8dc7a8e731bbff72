"""API tokens: accepted and rejected requests, logs, and stored hashes."""

import http.client
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from service.api.middleware.rate_limit import (
    BURST,
    MAX_ADDRESSES,
    ONE_MORE_EVERY_S,
    FailureLimiter,
    bucket_of,
)
from service.api.openapi.catalog import is_page
from service.app import create_app
from service.config import ApiConfig, is_loopback, requires_tokens
from service.database.engine.pool import ConnectionExecutor
from service.database.observed.workers import WorkerRepository
from service.environment import Environment
from service.web.install import OPEN_PAGES
from tests.support.api.events import happen
from tests.support.api.raw_replies import SOME_ID
from tests.support.api.tokens import bearer, make_token, manage_tokens
from tests.support.api_server import KEY, ApiServer, Reply, gateway_body
from tests.support.database_server import cloned_database
from tests.support.waiting import wait_until

OPEN = ["/api/health", "/api/health/ready"]
LIMIT_S = 60


Locked = tuple[ApiServer, str]


@pytest.fixture(scope="module")
def locked(
    server_admin: psycopg.Connection, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    """Yield a server that requires tokens and trusts one proxy, and its database's URL."""
    extra = {"AUTH": "required", "TRUSTED_PROXIES": "1", "LOG_LEVEL": "debug"}
    with (
        cloned_database(server_admin, server_url) as url,
        ApiServer(url, tmp_path_factory.mktemp("api") / "api.log", extra) as api,
    ):
        yield api, url


def call_from(address: str, api: ApiServer, method: str, path: str, **headers: str) -> Reply:
    """Send a request as a trusted proxy forwards it."""
    return api.call(method, path, headers={"X-Forwarded-For": address, **headers})


@pytest.mark.parametrize(
    ("auth", "host", "needed"),
    [
        ("auto", "127.0.0.1", False),
        ("auto", "127.8.8.8", False),
        ("auto", "localhost", False),
        ("auto", "::1", False),
        ("auto", "::ffff:127.0.0.1", False),
        ("auto", "0.0.0.0", True),  # noqa: S104
        ("auto", "::", True),
        ("auto", "192.168.1.5", True),
        ("auto", "plant.example.com", True),
        ("off", "0.0.0.0", False),  # noqa: S104
        ("required", "127.0.0.1", True),
    ],
)
def test_tokens_are_required_unless_only_this_machine_has_access(
    auth: str, host: str, *, needed: bool
) -> None:
    assert requires_tokens(auth, host) is needed
    assert is_loopback(host) is (not requires_tokens("auto", host))


def test_on_a_public_address_tokens_are_required_by_default(
    start_api: Callable[..., ApiServer],
) -> None:
    assert start_api(HOST="0.0.0.0").call("GET", "/api/factories").status == 401  # noqa: S104
    careless = start_api(HOST="0.0.0.0", AUTH="off")  # noqa: S104
    assert careless.call("GET", "/api/factories").status == 200
    assert [line for line in careless.log_lines() if line["message"].startswith("AUTH=off")]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/factories"), ("POST", "/api/gateways"), ("GET", "/api/nothing"), ("DELETE", "/nowhere")],
)
def test_without_a_token_every_request_gets_401(locked: Locked, method: str, path: str) -> None:
    reply = call_from("10.1.0.1", locked[0], method, path)
    assert (reply.status, reply.error["code"]) == (401, "UNAUTHORIZED")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="millgate"'


def test_every_route_except_health_requires_a_token(locked: Locked) -> None:
    """Iterates over the routes, so that new ones are covered."""
    config = ApiConfig.read(Environment({"DATABASE_URL": "postgresql:///none", "ENCRYPTION_KEY": KEY}))
    rules = list(create_app(config).url_map.iter_rules())
    assert len(rules) >= 12
    for number, rule in enumerate(rules):
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            path = re.sub("<[^>]*>", SOME_ID, rule.rule)
            status = call_from(f"10.2.{number}.1", locked[0], method, path).status
            is_open = rule.endpoint.rpartition(".")[0] in {"health", "docs", "session", *OPEN_PAGES}
            # People are led to the login.
            refusal = 303 if is_page(rule) and method == "GET" else 401
            assert (status != refusal) if is_open else (status == refusal), (method, path, status)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic dXNlcjpwYXNz",
        f"Bearer millgate_{'0' * 32}_{'A' * 43}",
        "Bearer " + "x" * 3000,
    ],
)
def test_an_invalid_token_is_rejected(locked: Locked, given: str) -> None:
    reply = call_from("10.3.0.1", locked[0], "GET", "/api/factories", Authorization=given)
    assert (reply.status, reply.error["code"]) == (401, "UNAUTHORIZED")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="millgate", error="invalid_token"'


def test_a_token_with_one_character_changed_is_rejected(locked: Locked) -> None:
    api, url = locked
    token = make_token(url, "changed", "write")
    assert api.call("GET", "/api/factories", headers=bearer(token)).status == 200
    for place in (10, -20):
        other = "0" if token[place] != "0" else "1"
        wrong = token[:place] + other + token[place:][1:]
        assert len(wrong) == len(token)
        assert call_from("10.4.0.1", api, "GET", "/api/factories", **bearer(wrong)).status == 401


def test_a_read_only_token_cannot_write(locked: Locked) -> None:
    api, url = locked
    read, write = make_token(url, "reader", "read"), make_token(url, "writer", "write")
    assert api.call("GET", "/api/factories", headers=bearer(read)).status == 200
    assert api.call("HEAD", "/api/factories", headers=bearer(read)).status == 200
    refused = api.call("POST", "/api/factories", {"name": "Mill"}, headers=bearer(read))
    assert (refused.status, refused.error["code"]) == (403, "FORBIDDEN")
    assert 'error="insufficient_scope", scope="write"' in refused.headers["WWW-Authenticate"]
    made = api.call("POST", "/api/factories", {"name": "Mill"}, headers=bearer(write))
    assert made.status == 201
    path = f"/api/factories/{made.json['id']}"
    for method in ("PUT", "PATCH", "DELETE"):
        assert api.call(method, path, {"name": "x"}, headers=bearer(read)).status == 403
    assert api.call("DELETE", path, headers=bearer(write)).status == 204


def test_a_revoked_token_is_rejected_immediately_and_its_name_is_free(locked: Locked) -> None:
    api, url = locked
    token = make_token(url, "leaver", "read")
    assert api.call("GET", "/api/factories", headers=bearer(token)).status == 200
    assert manage_tokens(url, "revoke", "leaver").returncode == 0
    assert call_from("10.5.0.1", api, "GET", "/api/factories", **bearer(token)).status == 401
    assert make_token(url, "leaver", "read") != token


@pytest.mark.parametrize("is_woken", [True, False])
def test_a_waiting_request_returns_nothing_after_its_token_is_revoked(
    start_api: Callable[..., ApiServer], database_url: str, *, is_woken: bool
) -> None:
    api = start_api(AUTH="required", MAX_WAITING_REQUESTS="1")
    leaver, other = (make_token(database_url, name, "write") for name in ("leaver", "other"))
    kept = bearer(other)
    factory = api.call("POST", "/api/factories", {"name": "x"}, headers=kept).json["id"]
    gateway = api.call("POST", "/api/gateways", gateway_body(factory), headers=kept).json
    cursor = api.call("GET", "/api/events", headers=kept).json["cursor"]
    path = f"/api/events?after={cursor}&wait="

    def is_full() -> bool:
        return api.call("GET", f"{path}1", headers=kept).status == 503

    def ask() -> Reply | None:
        """Return None if another request took the slot first."""
        reply = api.call("GET", f"{path}{25 if is_woken else 10}", headers=bearer(leaver), limit_s=60)
        return None if reply.status == 503 else reply

    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url, autocommit=True) as database:
        waiting = pool.submit(lambda: wait_until(ask, LIMIT_S, "a slot"))
        wait_until(is_full, 25, "the other request to wait")
        assert manage_tokens(database_url, "revoke", "leaver").returncode == 0
        if is_woken:
            happen(database, gateway, "secret-state")
        reply = waiting.result(LIMIT_S)
    assert reply is not None
    assert (reply.status, reply.error["code"]) == (401, "UNAUTHORIZED")
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert b"secret-state" not in reply.body


def test_a_token_is_stored_as_a_hash_and_its_last_use_as_a_day(locked: Locked) -> None:
    api, url = locked
    token = make_token(url, "kept", "read")
    with psycopg.connect(url, autocommit=True) as connection:
        used = "SELECT last_used_at, last_used_at = date_trunc('day', now(), 'UTC') FROM api_tokens"
        used += " WHERE name = 'kept'"
        assert connection.execute(used.encode()).fetchone() == (None, None)
        api.call("GET", "/api/factories", headers=bearer(token))

        def is_noted() -> bool:
            row = connection.execute(used.encode()).fetchone()
            return row is not None and row[1] is True

        wait_until(is_noted, what="the use to be noted")
        # The second use of a day writes nothing.
        version = b"SELECT xmin::text FROM api_tokens WHERE name = 'kept'"
        before = connection.execute(version).fetchone()
        api.call("GET", "/api/factories", headers=bearer(token))
        assert connection.execute(version).fetchone() == before
        stored = connection.execute("SELECT row_to_json(t)::text FROM api_tokens AS t").fetchall()
    secret = token[-43:]
    assert secret not in str(stored)
    assert secret.encode().hex() not in str(stored)


def test_failures_are_limited_by_address_but_a_valid_token_is_accepted(locked: Locked) -> None:
    api, url = locked
    token = make_token(url, "good", "read")
    replies: list[Reply] = []
    while len(replies) < 10 * BURST and (not replies or replies[-1].status == 401):
        replies.append(call_from("10.6.0.1", api, "GET", "/api/factories"))
    assert len(replies) > BURST
    assert (replies[-1].status, replies[-1].error["code"]) == (429, "TOO_MANY_FAILURES")
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= ONE_MORE_EVERY_S + 1
    assert call_from("10.6.0.1", api, "GET", "/api/factories", **bearer(token)).status == 200
    assert call_from("10.6.0.2", api, "GET", "/api/factories").status == 401
    for path in OPEN:
        assert call_from("10.6.0.1", api, "GET", path).status in {200, 503}


def test_failures_are_logged_without_the_token(locked: Locked) -> None:
    api, url = locked
    token = make_token(url, "logged", "read")
    wrong = f"millgate_{'ab' * 16}_{'secret' * 7}x"
    for given in (wrong, "garbage-canary"):
        call_from("10.7.0.9", api, "GET", "/api/factories", **bearer(given))
    api.call("POST", "/api/factories", {"name": "x"}, headers={**bearer(token), "X-Request-ID": "named-1"})
    lines = [line for line in api.log_lines() if line.get("address") == "10.7.0.9"]
    assert [line["level"] for line in lines] == ["warning", "warning"]
    assert all(line["request_id"] and line["path"] == "/api/factories" for line in lines)
    log = api.log_path.read_text()
    assert not [text for text in (token[-43:], "secretsecret", "canary") if text in log]
    [line] = api.requests_logged("named-1")
    assert line["token"] == "logged"


def test_health_is_open_and_readiness_is_brief_without_a_token(locked: Locked) -> None:
    api, url = locked
    token = make_token(url, "monitor", "read")
    assert api.call("GET", "/api/health").json == {"status": "ok"}
    brief = api.call("GET", "/api/health/ready")
    assert (brief.status, brief.error["code"], brief.fields) == (503, "NOT_READY", [])
    shown = api.call("GET", "/api/health/ready", headers=bearer(token))
    assert (shown.status, shown.fields) == (503, ["workers"])
    assert call_from("10.8.0.1", api, "GET", "/api/health/ready", **bearer("wrong")).status == 401
    with psycopg.connect(url, autocommit=True) as session:
        WorkerRepository(ConnectionExecutor(session)).register("here", 1, "0", 60)
        assert api.call("GET", "/api/health/ready").json == {"status": "ready"}
        assert api.call("GET", "/api/health/ready", headers=bearer(token)).json["workers"] == 1


def test_a_cors_preflight_needs_no_token(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(AUTH="required", CORS_ORIGINS="https://plant.example.com")
    asked = {
        "Origin": "https://plant.example.com",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    reply = api.call("OPTIONS", "/api/factories", headers=asked)
    assert reply.status == 200
    assert "authorization" in reply.headers["Access-Control-Allow-Headers"].lower()
    refused = api.call("GET", "/api/factories", headers={"Origin": "https://plant.example.com"})
    assert refused.status == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://plant.example.com"


def test_two_authorization_headers_are_rejected(locked: Locked) -> None:
    api, url = locked
    token = make_token(url, "twice", "read")
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    connection.putrequest("GET", "/api/factories")
    connection.putheader("Authorization", "Bearer wrong")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("X-Forwarded-For", "10.9.0.1")
    connection.endheaders()
    assert connection.getresponse().status in {400, 401}
    connection.close()


def test_the_commands_report_errors_in_one_line(database_url: str) -> None:
    token = make_token(database_url, "first", "write")
    for arguments in (
        ("create", "first", "read"),
        ("create", "", "read"),
        ("create", "second", "admin"),
        ("create", "bad\nname", "read"),
        ("create", "n" * 101, "read"),
        ("revoke", "nobody"),
    ):
        refused = manage_tokens(database_url, *arguments)
        assert refused.returncode != 0, arguments
        assert refused.stdout == ""
        assert "Traceback" not in refused.stderr
    listed = manage_tokens(database_url, "list").stdout
    assert "first" in listed
    assert token[-43:] not in listed
    unreachable = manage_tokens("postgresql://127.0.0.1:9/none", "list")
    assert (unreachable.returncode, len(unreachable.stderr.splitlines())) == (1, 1)


def test_the_limiter_counts_an_address_and_forgets_the_oldest() -> None:
    limiter = FailureLimiter()
    assert [limiter.count("10.0.0.1", 100.0) for _ in range(BURST)] == [0.0] * BURST
    assert 0 < limiter.count("10.0.0.1", 100.0) <= ONE_MORE_EVERY_S
    assert limiter.count("10.0.0.2", 100.0) == 0.0
    assert limiter.count("10.0.0.1", 100.0 + ONE_MORE_EVERY_S) == 0.0
    for number in range(MAX_ADDRESSES + 10):
        limiter.count(f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}", 200.0)
    assert len(limiter) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("rubbish" * 100, "unknown"),
    ],
)
def test_failures_are_counted_by_address_or_ipv6_network(address: str, bucket: str) -> None:
    assert bucket_of(address) == bucket
