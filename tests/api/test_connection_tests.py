"""Connection tests before saving, with a real API, a real worker and a simulated gateway."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres, free_port
from service.config import CONNECTION_TESTS_PER_WORKER
from service.crypto import Sealer, Secret
from service.gateway_states import action_for
from simulator import Credentials, Fault, Gateway, Site
from tests.support.api_server import KEY, ApiServer, Reply
from tests.support.certificates import Authority
from tests.support.database_server import cloned_database
from tests.support.processes import frozen
from tests.support.raw_server import TEXT, Peer, RawServer, frame
from tests.support.secret_forms import forms_in
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker, WorkerProcess
from tests.support.worker_settings import EMAIL, PASSWORD

STEPS = ["resolve", "connect", "tls", "upgrade", "login", "subscribe"]
# Long enough for a machine busy with other tests: no test waits for these timeouts.
PATIENT = {"TCP_TIMEOUT_S": "6", "UPGRADE_TIMEOUT_S": "6", "LOGIN_TIMEOUT_S": "6", "LEASE_S": "8"}
WAIT_S = 10.0


@dataclass(frozen=True)
class Bench:
    """An API with a worker."""

    api: ApiServer
    database: psycopg.Connection
    authority: Authority

    def leftovers(self) -> int:
        """Count the stored connection tests."""
        row = self.database.execute("SELECT count(*) FROM connection_tests").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def bench(
    server_admin: psycopg.Connection, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    directory, authority = tmp_path_factory.mktemp("bench"), Authority()
    trusted = {"GATEWAY_CA_FILE": str(authority.write(directory / "ca.pem"))}
    with (
        cloned_database(server_admin, server_url) as url,
        psycopg.connect(url, autocommit=True) as database,
        ApiServer(url, directory / "api.log") as api,
    ):
        worker = ThreadedWorker(url, {**PATIENT, **trusted})
        try:
            wait_until(lambda: is_ready(api), WAIT_S, "a worker")
            yield Bench(api, database, authority)
        finally:
            worker.stop()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site.start(["AP-1", "AP-2"], credentials=Credentials(EMAIL, PASSWORD), one_port_each=True) as site:
        yield site


@pytest.fixture
def calls() -> Iterator[ThreadPoolExecutor]:
    """Yield an executor for requests that are awaited later."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


def is_ready(api: ApiServer) -> bool:
    return api.call("GET", "/api/health/ready").status == 200


def login(url: str, **changes: str) -> dict[str, str]:
    return {"url": url, "email": EMAIL, "password": PASSWORD, **changes}


def store(bench: Bench, url: str, password: str = PASSWORD) -> str:
    """Store a gateway with desired state disconnected."""
    row_id = uuid4()
    bench.database.execute(
        """
        INSERT INTO gateways (
            id, factory_id, device_id, name, url, email, sealed_password, desired_state
        )
        VALUES (%s, %s, %s, 'Press hall', %s, %s, %s, 'disconnected')
        """,
        (
            row_id,
            bench.api.factory()["id"],
            str(row_id),
            url,
            EMAIL,
            Sealer(Secret(KEY)).seal(Secret(password), row_id),
        ),
    )
    return str(row_id)


def statuses(reply: Reply) -> list[str]:
    """Return the statuses of the steps in order."""
    assert reply.status == 200, reply.body
    assert set(reply.json) == {"ok", "steps", "failure"}
    assert [step["name"] for step in reply.json["steps"]] == STEPS
    for step in reply.json["steps"]:
        assert (step["duration_ms"] is None) == (step["status"] == "skipped")
        assert step["duration_ms"] is None or 0 <= step["duration_ms"] <= 11_000
    assert reply.json["ok"] == (reply.json["failure"] is None)
    return [step["status"] for step in reply.json["steps"]]


def failure(reply: Reply) -> tuple[str, str]:
    """Return the failed step and its reason; assert that earlier ones succeeded, later ones were skipped."""
    told, seen = reply.json["failure"], statuses(reply)
    assert set(told) == {"step", "code", "message", "retryable", "action"}
    assert told["action"] == action_for(told["code"])
    assert not reply.json["ok"]
    position = STEPS.index(told["step"])
    assert seen.count("failed") == 1
    assert seen[position] == "failed"
    assert set(seen[:position]) <= {"ok", "skipped"}
    assert set(seen[position + 1 :]) <= {"skipped"}
    assert seen[2] == "skipped" or "tls" in (told["step"], STEPS[2])
    return told["step"], told["code"]


def begin(calls: ThreadPoolExecutor, api: ApiServer, gateway: Gateway) -> Future[Reply]:
    """Start a test of a silent gateway; return once it is running."""
    before = gateway.attempts
    reply = calls.submit(api.call, "POST", "/api/gateways/test", login(gateway.url))
    gateway.wait(lambda seen: seen.attempts > before, WAIT_S)
    return reply


def cut(gateway: Gateway, waiting: Sequence[Future[Reply]]) -> None:
    """Cut all tests of a gateway, also those just connecting; assert that all report it."""

    def is_over() -> bool:
        gateway.drop()
        return all(reply.done() for reply in waiting)

    wait_until(is_over, WAIT_S, "the tests to end")
    assert {failure(reply.result(0))[1] for reply in waiting} == {"connection_lost"}


def test_a_login_that_works(bench: Bench, site: Site) -> None:
    gateway = site.gateway("AP-1")
    reply = bench.api.call("POST", "/api/gateways/test", login(gateway.url))
    assert statuses(reply) == ["ok", "ok", "skipped", "ok", "ok", "ok"]
    gateway.wait(lambda seen: bool(seen.sessions_closed))
    [end] = gateway.sessions_closed
    assert (end.code, end.unsubscribed) == (1000, True)
    assert (gateway.logins, gateway.subscriptions, gateway.violations) == (1, 1, [])
    assert bench.leftovers() == 0
    assert bench.api.call("GET", "/api/gateways").json["data"] == []


def test_a_login_that_works_over_tls(bench: Bench, tmp_path: Path) -> None:
    context = bench.authority.issue(tmp_path / "gateway.pem")
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        reply = bench.api.call("POST", "/api/gateways/test", login(site.url("AP-1")))
    assert statuses(reply) == ["ok"] * 6


def test_a_certificate_of_an_unknown_authority(bench: Bench, tmp_path: Path) -> None:
    context = Authority("stranger").issue(tmp_path / "gateway.pem")
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        reply = bench.api.call("POST", "/api/gateways/test", login(site.url("AP-1")))
        assert site.gateway("AP-1").logins == 0
    assert failure(reply) == ("tls", "tls_failed")
    assert "an authority that is not known here" in reply.json["failure"]["message"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("ws://no-such-gateway.invalid:5000", ("resolve", "dns_failed"), id="dns"),
        pytest.param("ws://169.254.169.254:5000", ("connect", "address_denied"), id="denied"),
    ],
)
def test_an_unreachable_host(bench: Bench, url: str, expected: tuple[str, str]) -> None:
    assert failure(bench.api.call("POST", "/api/gateways/test", login(url))) == expected


def test_a_closed_port(bench: Bench) -> None:
    reply = bench.api.call("POST", "/api/gateways/test", login(f"ws://127.0.0.1:{free_port()}"))
    assert failure(reply) == ("connect", "connection_refused")


@pytest.mark.parametrize(
    ("fault", "options", "expected"),
    [
        pytest.param(Fault.REJECT_UPGRADE, {}, ("upgrade", "upgrade_rejected"), id="upgrade"),
        pytest.param(Fault.CLOSE_BEFORE_LOGIN, {}, ("login", "closed_by_gateway"), id="close"),
        pytest.param(Fault.REJECT_LOGIN, {}, ("login", "login_rejected"), id="login"),
        pytest.param(Fault.ERROR_LOGIN, {"attempt": None}, ("login", "login_rejected"), id="login-error"),
        pytest.param(Fault.NOT_JSON, {"phase": "login"}, ("login", "protocol_error"), id="garbage"),
        pytest.param(Fault.ERROR_SUBSCRIBE, {}, ("subscribe", "subscribe_rejected"), id="subscribe"),
    ],
)
def test_a_gateway_that_rejects_the_upgrade(
    bench: Bench, site: Site, fault: Fault, options: dict[str, Any], expected: tuple[str, str]
) -> None:
    gateway = site.gateway("AP-1")
    gateway.fault(fault, **options)
    assert failure(bench.api.call("POST", "/api/gateways/test", login(gateway.url))) == expected
    gateway.wait(lambda seen: seen.open_sessions == 0)


def test_a_wrong_password(bench: Bench, site: Site) -> None:
    gateway = site.gateway("AP-1")
    reply = bench.api.call("POST", "/api/gateways/test", login(gateway.url, password="wrong"))
    assert failure(reply) == ("login", "login_rejected")
    assert not reply.json["failure"]["retryable"]
    assert (gateway.rejected_logins, gateway.attempts) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(Fault.SILENT_UPGRADE, ("upgrade", "connect_timeout"), id="upgrade"),
        pytest.param(Fault.DRIBBLE_UPGRADE, ("upgrade", "connect_timeout"), id="dribble"),
        pytest.param(Fault.SILENT_LOGIN, ("login", "login_timeout"), id="login"),
    ],
)
def test_a_stalling_gateway_exceeds_no_test_timeout(
    bench: Bench, site: Site, tmp_path: Path, fault: Fault, expected: tuple[str, str]
) -> None:
    """The worker's own timeouts are 6 s per step."""
    gateway = site.gateway("AP-1")
    gateway.fault(fault)
    extra = {"CONNECTION_TEST_TIMEOUT_S": "3"}
    with ApiServer(bench.api.database_url, tmp_path / "api.log", extra) as api:
        started = monotonic()
        assert failure(api.call("POST", "/api/gateways/test", login(gateway.url))) == expected
        assert monotonic() - started < 8
    gateway.wait(lambda seen: seen.open_sessions == 0)


@pytest.mark.parametrize("body", [{}, None])
def test_a_test_of_stored_settings(bench: Bench, site: Site, body: object) -> None:
    gateway = site.gateway("AP-1")
    stored = store(bench, gateway.url)
    reply = bench.api.call("POST", f"/api/gateways/{stored}/test", body)
    assert statuses(reply) == ["ok", "ok", "skipped", "ok", "ok", "ok"]
    assert gateway.logins == 1


def test_a_test_with_overrides(bench: Bench, site: Site) -> None:
    first, second = site.gateways
    second.credentials = Credentials("other@example.com", "other")
    stored = store(bench, first.url)
    path = f"/api/gateways/{stored}/test"
    assert failure(bench.api.call("POST", path, {"email": "who@example.com"}))[0] == "login"
    assert failure(bench.api.call("POST", path, {"password": "wrong"}))[0] == "login"
    assert bench.api.call("POST", path, {"url": f"{first.url}/a/path?that=is"}).json["ok"]
    assert (first.logins, second.attempts) == (1, 0)
    everything = {"url": second.url, "email": "other@example.com", "password": "other"}
    assert bench.api.call("POST", path, everything).json["ok"]
    assert (first.logins, second.logins) == (1, 1)
    assert bench.api.call("GET", f"/api/gateways/{stored}").json["url"] == first.url


def test_a_stored_password_does_not_leave_tls(bench: Bench, site: Site) -> None:
    home, elsewhere = site.gateways
    path = f"/api/gateways/{store(bench, home.url.replace('ws:', 'wss:'))}/test"
    for url in (home.url, elsewhere.url):
        reply = bench.api.call("POST", path, {"url": url, "email": "mallory@example.com"})
        assert (reply.status, reply.error["code"], reply.fields) == (400, "PASSWORD_REQUIRED", ["password"])
        with_password = bench.api.call("POST", path, {"url": url, "password": "wrong"})
        assert failure(with_password) == ("login", "login_rejected")
    assert (home.logins, elsewhere.logins) == (0, 0)
    assert (home.attempts, elsewhere.attempts) == (1, 1)
    assert bench.leftovers() == 0


def test_the_live_session_is_undisturbed(
    server_admin: psycopg.Connection, server_url: str, site: Site, tmp_path: Path
) -> None:
    gateway = site.gateway("AP-1")
    with (
        cloned_database(server_admin, server_url) as url,
        ApiServer(url, tmp_path / "api.log") as api,
    ):
        worker = ThreadedWorker(url, PATIENT)
        try:
            row = api.gateway(api.factory()["id"], url=gateway.url, email=EMAIL, password=PASSWORD)
            path = f"/api/gateways/{row['id']}"
            wait_until(lambda: api.call("GET", f"{path}/status").json["state"] == "connected", WAIT_S)
            before = api.call("GET", f"{path}/status").json
            assert api.call("POST", f"{path}/test").json["ok"]
            gateway.wait(lambda seen: len(seen.sessions_closed) == 1)
            after = api.call("GET", f"{path}/status").json
            assert [after[name] for name in ("state", "connected_since", "generation")] == [
                before[name] for name in ("state", "connected_since", "generation")
            ]
            assert (gateway.open_sessions, gateway.max_open_sessions, gateway.logins) == (1, 2, 2)
        finally:
            worker.stop()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"url", "email", "password"}),
        (login("http://gateway"), {"url"}),
        (login("ws://user:pass@gateway"), {"url"}),
        ({**login("ws://gateway"), "email": "nobody"}, {"email"}),
        ({**login("ws://gateway"), "password": ""}, {"password"}),
        ({**login("ws://gateway"), "name": "Press hall"}, {"name"}),
    ],
)
def test_an_invalid_body(bench: Bench, body: object, fields: set[str]) -> None:
    reply = bench.api.call("POST", "/api/gateways/test", body)
    assert (reply.status, reply.error["code"], set(reply.fields)) == (400, "VALIDATION_ERROR", fields)


def test_gateways_that_cannot_be_tested(bench: Bench) -> None:
    unknown = f"/api/gateways/{uuid4()}/test"
    assert bench.api.call("POST", unknown).error["code"] == "GATEWAY_NOT_FOUND"
    assert bench.api.call("POST", unknown, {"url": None}).fields == ["url"]
    assert bench.api.call("POST", "/api/gateways/not-an-id/test").fields == ["id"]
    assert bench.api.call("POST", "/api/gateways/test?a=1", login("ws://gateway")).fields == ["a"]
    assert bench.api.call("GET", unknown).status == 405
    stored = store(bench, "ws://gateway")
    assert bench.api.call("DELETE", f"/api/gateways/{stored}").status == 204
    assert bench.api.call("POST", f"/api/gateways/{stored}/test").error["code"] == "GATEWAY_NOT_FOUND"


def test_concurrent_connection_tests_are_limited(bench: Bench, site: Site, calls: ThreadPoolExecutor) -> None:
    gateway = site.gateway("AP-1")
    gateway.fault(Fault.SILENT_LOGIN)
    waiting = [begin(calls, bench.api, gateway) for _ in range(CONNECTION_TESTS_PER_WORKER)]
    refused = bench.api.call("POST", "/api/gateways/test", login(gateway.url))
    assert (refused.status, refused.error["code"]) == (429, "TOO_MANY_CONNECTION_TESTS")
    assert int(refused.headers["Retry-After"]) > 0
    cut(gateway, waiting)
    gateway.fault(None)
    assert bench.api.call("POST", "/api/gateways/test", login(gateway.url)).json["ok"]


def test_a_test_without_a_worker(start_api: Callable[..., ApiServer]) -> None:
    reply = start_api().call("POST", "/api/gateways/test", login("ws://127.0.0.1:9"))
    assert (reply.status, reply.error["code"]) == (503, "NO_WORKER")


def test_a_test_whose_worker_dies(
    start_api: Callable[..., ApiServer],
    database_url: str,
    site: Site,
    calls: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    gateway = site.gateway("AP-1")
    gateway.fault(Fault.SILENT_LOGIN)
    api, worker = start_api(), WorkerProcess(database_url, tmp_path, PATIENT)
    try:
        wait_until(lambda: is_ready(api), WAIT_S, "a worker")
        waiting = begin(calls, api, gateway)
        worker.kill()
        reply = waiting.result(WAIT_S)
        assert (reply.status, reply.error["code"]) == (504, "CONNECTION_TEST_LOST")
        again = api.call("POST", "/api/gateways/test", login(gateway.url))
        assert (again.status, again.error["code"]) == (503, "NO_WORKER")
    finally:
        worker.kill()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT FROM connection_tests").fetchall() == []


def test_a_stopping_api_answers_waiting_requests(
    bench: Bench, site: Site, calls: ThreadPoolExecutor, tmp_path: Path
) -> None:
    gateway = site.gateway("AP-1")
    gateway.fault(Fault.SILENT_LOGIN)
    with ApiServer(bench.api.database_url, tmp_path / "api.log") as api:
        waiting = begin(calls, api, gateway)
        assert api.process is not None
        api.process.send_signal(signal.SIGTERM)
        reply = waiting.result(WAIT_S)
        assert (reply.status, reply.error["code"]) == (504, "CONNECTION_TEST_LOST")
        assert api.process.wait(WAIT_S) == 0
    gateway.drop()


def test_a_silent_database_is_waited_for_once(
    own_postgres: EmbeddedPostgres, site: Site, calls: ThreadPoolExecutor, tmp_path: Path
) -> None:
    gateway = site.gateway("AP-1")
    gateway.fault(Fault.SILENT_LOGIN)
    with ApiServer(own_postgres.url(), tmp_path / "api.log") as api:
        worker = ThreadedWorker(own_postgres.url(), PATIENT)
        try:
            wait_until(lambda: is_ready(api), WAIT_S, "a worker")
            waiting = begin(calls, api, gateway)
            with frozen(own_postgres):
                started = monotonic()
                reply = waiting.result(WAIT_S)
                assert monotonic() - started < 7
        finally:
            worker.stop()
    assert (reply.status, reply.error["code"]) == (500, "DATABASE_UNAVAILABLE")


def echo(peer: Peer) -> None:
    """A gateway that rejects every login and repeats its text."""
    _, command = peer.receive()
    error = {"Attempt": "POST_LOGIN", "Error": command.decode()}
    answer = {"Type": "RTN_ERR", "From": "SERV", "Target": "UI", "Data": error}
    peer.send(frame(TEXT, json.dumps(answer).encode()))
    peer.receive()


def test_the_password_is_shown_nowhere(
    start_api: Callable[..., ApiServer],
    database_url: str,
    site: Site,
    calls: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    marker = 'canary "2b9e\\7c41" \N{GREEK SMALL LETTER PI}'
    silent = site.gateway("AP-1")
    silent.fault(Fault.SILENT_LOGIN)
    api = start_api(LOG_LEVEL="debug")
    worker = WorkerProcess(database_url, tmp_path, {**PATIENT, "LOG_LEVEL": "debug"})
    try:
        wait_until(lambda: is_ready(api), WAIT_S, "a worker")
        with RawServer(echo) as echoing:
            echoed = api.call("POST", "/api/gateways/test", login(echoing.url, password=marker))
        assert failure(echoed) == ("login", "login_rejected")
        assert "Password: …" in echoed.json["failure"]["message"], "the test is void: nothing was echoed"
        waiting = calls.submit(api.call, "POST", "/api/gateways/test", login(silent.url, password=marker))
        silent.wait(lambda seen: seen.attempts > 0, WAIT_S)
        with psycopg.connect(database_url) as connection:
            found = connection.execute(
                "SELECT t::text, sealed_password FROM connection_tests AS t"
            ).fetchone()
        cut(silent, [waiting])
        assert worker.terminate() == 0
    finally:
        worker.kill()
    assert found is not None
    logs = api.log_path.read_text() + worker.log
    for text in (echoed.body.decode(), waiting.result(0).body.decode(), found[0], logs):
        assert forms_in(text, marker) == []
    assert forms_in(echoed.body.decode() + logs, EMAIL) == []
    assert found[1].hex() not in logs + waiting.result(0).body.decode()
