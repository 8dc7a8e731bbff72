"""Health, readiness, start and end."""

import base64
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest

from service.database.engine.pool import ConnectionExecutor
from service.database.observed.workers import WorkerRepository
from tests.support.api_server import STOP_LIMIT_S, ApiServer
from tests.support.waiting import wait_until

OTHER_KEY = base64.b64encode(b"x" * 32).decode()


@pytest.mark.req("API-01", "API-02")
def test_it_serves_on_its_port_and_is_healthy(api: ApiServer) -> None:
    reply = api.call("GET", "/api/health")
    assert (reply.status, reply.json) == (200, {"status": "ok"})
    assert api.call("HEAD", "/api/health").status == 200


@pytest.mark.req("API-02")
def test_it_is_ready_only_with_a_live_worker(api: ApiServer, database: psycopg.Connection) -> None:
    reply = api.call("GET", "/api/health/ready")
    assert (reply.status, reply.error["code"], reply.fields) == (503, "NOT_READY", ["workers"])
    session = psycopg.connect(database.info.dsn, autocommit=True, password=database.info.password)
    with session:
        WorkerRepository(ConnectionExecutor(session)).register("here", 1, "0", 60)
        assert api.call("GET", "/api/health/ready").json["workers"] == 1
    session.close()
    # Its lease is still valid, but its session has ended.
    wait_until(lambda: api.call("GET", "/api/health/ready").status == 503, 2, "the end of the session")
    assert api.call("GET", "/api/health/ready").fields == ["workers"]


@pytest.mark.req("API-02")
def test_it_is_not_ready_before_all_migrations(api: ApiServer, database: psycopg.Connection) -> None:
    database.execute("CREATE TABLE kept AS TABLE schema_migrations")
    database.execute("DELETE FROM schema_migrations")
    try:
        assert "migrations" in api.call("GET", "/api/health/ready").fields
    finally:
        database.execute("INSERT INTO schema_migrations SELECT * FROM kept")
        database.execute("DROP TABLE kept")


def refused_start(server: ApiServer) -> str:
    """Return the output of a server that does not start: one line, without a traceback."""
    process = server.spawn()
    assert process.wait(timeout=20) == 1
    said = [line for line in server.log_path.read_text().splitlines() if not line.startswith("{")]
    assert len(said) == 1, said
    return said[0]


@pytest.mark.req("CRYPTO-03", "QUAL-06")
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ENCRYPTION_KEY", "", "ENCRYPTION_KEY is not set"),
        ("ENCRYPTION_KEY", "not base64!", "ENCRYPTION_KEY is not base64"),
        ("ENCRYPTION_KEY", base64.b64encode(b"short").decode(), "must be 32 bytes"),
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("PORT", "ninety", "PORT must be a whole number"),
        ("KEEPALIVE_S", "-7", "KEEPALIVE_S must be between"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be one of"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(
    tmp_path: Path, database_url: str, name: str, value: str, words: str
) -> None:
    said = refused_start(ApiServer(database_url, tmp_path / "api.log", {name: value}))
    assert words in said
    assert value == "" or value not in said or name in {"PORT", "LOG_LEVEL"}


@pytest.mark.req("CRYPTO-03")
def test_a_wrong_key_is_detected_at_the_start(
    start_api: Callable[..., ApiServer], tmp_path: Path, database_url: str
) -> None:
    start_api().stop()
    server = ApiServer(database_url, tmp_path / "other.log", {"ENCRYPTION_KEY": OTHER_KEY})
    said = refused_start(server)
    assert "not the key that the stored passwords were sealed with" in said
    assert OTHER_KEY not in said


@pytest.mark.req("API-01")
def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path, database_url: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        server = ApiServer(database_url, tmp_path / "api.log", port=holder.getsockname()[1])
        assert "PORT" in refused_start(server)


@pytest.mark.req("REPO-01")
def test_each_process_has_its_own_pool_that_ends_with_it(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    def connections(watcher: psycopg.Connection) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millgate-api'"
        row = watcher.execute(query + " AND datname = current_database()").fetchone()
        assert row is not None
        return int(row[0])

    api = start_api(API_PROCESSES="2", DB_POOL_MIN="1", DB_POOL_MAX="2")
    with psycopg.connect(database_url, autocommit=True) as watcher:
        for _ in range(10):
            assert api.call("GET", "/api/factories").status == 200
        assert 1 <= connections(watcher) <= 4
        assert api.process is not None
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(timeout=12) == 0
        wait_until(lambda: connections(watcher) == 0, 2, "the end of all connections")


def test_an_obsolete_setting_is_accepted_with_one_warning(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(API_THREADS="many", TRIAL_TIMEOUT_S="3", API_PROCESSES="2")
    assert api.call("GET", "/api/factories").status == 200
    warnings = [line["message"] for line in api.log_lines() if line["level"] == "warning"]
    for name in ("API_THREADS", "TRIAL_TIMEOUT_S"):
        assert len([warning for warning in warnings if name in warning]) == 1, name


@pytest.mark.req("API-02")
def test_a_stop_is_not_delayed_by_keepalive_connections(start_api: Callable[..., ApiServer]) -> None:
    """Nor by clients that stall in the middle of a request."""
    api = start_api()
    request = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with ExitStack() as opened:
        for begun in (request, b"", request[:20], request):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", api.port), 10))
            client.sendall(begun)
        assert api.answers()
        assert api.process is not None
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(STOP_LIMIT_S) == 0
        assert "graceful timeout" not in api.log_path.read_text()


def test_a_stop_reaches_a_process_that_was_just_forked(start_api: Callable[..., ApiServer]) -> None:
    """It briefly has its parent's signal handlers and would miss the signal."""
    api = start_api(configuration="tests/support/slow_fork_conf.py", API_PROCESSES="1")
    assert api.process is not None
    server = psutil.Process(api.process.pid)
    [victim] = server.children()
    victim.kill()
    wait_until(lambda: server.children() and victim not in server.children(), 10, "another process")
    api.process.terminate()
    assert api.process.wait(STOP_LIMIT_S) == 0
