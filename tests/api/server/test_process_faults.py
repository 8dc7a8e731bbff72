"""The API's promises when its processes or its database die, freeze or become read-only."""

import http.client
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres
from service.database.engine.pool import MAX_QUEUED
from tests.support.api_server import ApiServer, Reply, gateway_body
from tests.support.processes import children, frozen, has_ended
from tests.support.waiting import wait_until

ANSWER_LIMIT_S = 5.0
UNDER_WAY = 40
WRITERS = 4
WRITES_BEFORE_KILL = 20
UNSAFE = ("127.0.0.1", "SELECT", "INSERT", "psycopg", "Traceback", "millgate@", "read-only", "port")


class Writers:
    """Threads that create factories as fast as possible and record those acknowledged by the API."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._stopping = threading.Event()
        self.written: list[str] = []
        self.failed = 0

    def write(self, _number: int) -> None:
        """Create factories until stopped."""
        while not self._stopping.is_set():
            try:
                reply = self._api.call("POST", "/api/factories", {"name": "Mill"})
            except (OSError, http.client.HTTPException):
                self.failed += 1
                self._stopping.wait(0.01)
            else:
                if reply.status == 201:
                    self.written.append(reply.json["id"])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write while the block runs."""
        with ThreadPoolExecutor(WRITERS) as pool:
            running = pool.map(self.write, range(WRITERS))
            try:
                yield
            finally:
                self._stopping.set()
            list(running)


def written_ids(url: str) -> set[str]:
    """Return the ids in the database."""
    with psycopg.connect(url) as connection:
        return {str(row[0]) for row in connection.execute("SELECT id FROM factories")}


@pytest.mark.req("GATEWAY-08")
def test_acknowledged_writes_survive_a_killed_api_process(database_url: str, tmp_path: Path) -> None:
    with ApiServer(database_url, tmp_path / "api.log", {"API_PROCESSES": "2"}) as api:
        assert api.process is not None
        master = api.process.pid
        writers = Writers(api)
        with writers.writing():
            for kill in range(1, 4):
                enough = kill * WRITES_BEFORE_KILL
                wait_until(lambda n=enough: len(writers.written) >= n, 20, "writes")  # type: ignore[misc]
                victim = children(master)[0]
                victim.kill()
                wait_until(lambda gone=victim: has_ended(gone), 10, "its end")  # type: ignore[misc]
            enough = len(writers.written) + WRITES_BEFORE_KILL
            wait_until(lambda: len(writers.written) >= enough, 20, "writes after the last kill")
        wait_until(lambda: len(children(master)) == 2, 10, "a new process for each")
        assert set(writers.written) <= written_ids(database_url)
        assert api.call("GET", "/api/factories").status == 200


@pytest.mark.req("GATEWAY-08")
def test_acknowledged_writes_survive_a_killed_api(database_url: str, tmp_path: Path) -> None:
    api = ApiServer(database_url, tmp_path / "api.log", {"API_PROCESSES": "2"})
    with api:
        assert api.process is not None
        writers = Writers(api)
        with writers.writing():
            wait_until(lambda: len(writers.written) >= WRITES_BEFORE_KILL, 20, "writes")
            below = children(api.process.pid)
            api.process.kill()
            api.process.wait(10)
            # Processes detect the end of their parent and end; the port is free for the next start.
            wait_until(lambda: all(map(has_ended, below)), 20, "the end of all processes")
        assert writers.failed > 0
        assert set(writers.written) <= written_ids(database_url)
    with api:
        total = api.call("GET", "/api/factories").json["pagination"]["total"]
        assert total == len(written_ids(database_url)) >= len(writers.written)


@pytest.mark.req("GATEWAY-08", "GATEWAY-07")
def test_a_read_only_database_rejects_writes_and_serves_reads(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    def set_read_only(word: str) -> None:
        with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}".encode())
            connection.execute("SELECT pg_reload_conf()")

    with ApiServer(own_postgres.url(), tmp_path / "api.log") as api:
        factory = api.factory()
        gateway = api.gateway(factory["id"])
        path = f"/api/gateways/{gateway['id']}"
        set_read_only("on")
        wait_until(
            lambda: api.call("PATCH", path, {"name": "x"}).status == 500, 10, "the setting to be in force"
        )
        writes: list[tuple[str, str, object]] = [
            ("POST", "/api/factories", {"name": "Never"}),
            ("PUT", f"/api/factories/{factory['id']}", {"name": "Never"}),
            ("DELETE", f"/api/factories/{factory['id']}", None),
            ("POST", "/api/gateways", gateway_body(factory["id"], "CTC-2", password="marker-password")),
            ("PATCH", path, {"name": "Never"}),
            ("POST", f"{path}/disconnect", None),
            ("POST", f"{path}/connect", None),
            ("DELETE", path, None),
        ]
        for method, target, body in writes:
            reply = api.call(method, target, body)
            assert (reply.status, reply.error["code"], reply.fields) == (500, "DATABASE_UNAVAILABLE", [])
            assert not any(word in reply.body.decode() for word in UNSAFE), reply.body
        for target in ("/api/factories", "/api/gateways", path, f"{path}/status", "/api/workers"):
            assert api.call("GET", target).status == 200, target
        assert api.call("GET", path).json["desired_state"] == "connected"
        assert "marker-password" not in api.log_path.read_text()
        set_read_only("off")
        wait_until(lambda: api.call("PATCH", path, {"name": "Now"}).status == 200, 10, "writes to go on")
        assert api.call("GET", "/api/factories").json["pagination"]["total"] == 1


@pytest.mark.req("GATEWAY-08", "API-02")
def test_a_frozen_database_never_blocks_a_request_for_long(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Its system still acknowledges data, so TCP sees no error."""
    limits = {"DB_STATEMENT_TIMEOUT_S": "1", "DB_POOL_MIN": "2"}
    with ApiServer(own_postgres.url(), tmp_path / "api.log", limits) as api:
        gateway = api.gateway(api.factory()["id"])
        path = f"/api/gateways/{gateway['id']}"
        asked: list[tuple[str, str, object]] = [
            ("GET", path, None),
            ("GET", "/api/gateways", None),
            ("GET", "/api/workers", None),
            ("GET", f"{path}/status", None),
            ("PATCH", path, {"name": "Never"}),
            ("POST", f"{path}/disconnect", None),
            ("DELETE", path, None),
        ]

        def ask(request: tuple[str, str, object]) -> tuple[Reply, float]:
            began = monotonic()
            return api.call(*request), monotonic() - began

        with frozen(own_postgres):
            with ThreadPoolExecutor(len(asked)) as pool:
                replies = list(pool.map(ask, asked))
            assert [(reply.status, reply.error["code"]) for reply, _ in replies] == [
                (500, "DATABASE_UNAVAILABLE")
            ] * len(asked)
            assert max(took_s for _, took_s in replies) < ANSWER_LIMIT_S
            not_ready, took_s = ask(("GET", "/api/health/ready", None))
            assert (not_ready.status, not_ready.fields[0]) == (503, "database")
            assert took_s < ANSWER_LIMIT_S
            assert api.call("GET", "/api/health").status == 200
        wait_until(lambda: api.call("GET", "/api/gateways").status == 200, 15, "the API to recover")
        assert api.factory(name="After")["name"] == "After"


@pytest.mark.req("GATEWAY-08", "API-02")
def test_requests_blocked_by_a_frozen_database_delay_no_other(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Five times as many as connections: each gets its error in time, and health is answered meanwhile."""
    with ApiServer(own_postgres.url(), tmp_path / "api.log", {"DB_POOL_MIN": "8"}) as api:
        path = f"/api/gateways/{api.gateway(api.factory()['id'])['id']}"

        def ask(number: int) -> Reply:
            body = {"name": "Never"} if number % 4 == 0 else None
            request_id = {"X-Request-ID": f"frozen-{number}"}
            return api.call("PATCH" if body else "GET", path, body, headers=request_id)

        with frozen(own_postgres), ThreadPoolExecutor(UNDER_WAY) as pool:
            asked = [pool.submit(ask, number) for number in range(UNDER_WAY)]
            healthy = 0
            while not all(one.done() for one in asked):
                assert api.call("GET", "/api/health").status == 200
                healthy += 1
            replies = [one.result() for one in asked]
        assert healthy > UNDER_WAY
        assert {(reply.status, reply.error["code"]) for reply in replies} == {(500, "DATABASE_UNAVAILABLE")}
        lines = [api.requests_logged(f"frozen-{number}")[0] for number in range(UNDER_WAY)]
        assert max(line["duration_ms"] for line in lines) < ANSWER_LIMIT_S * 1000
        wait_until(lambda: api.call("GET", path).status == 200, 15, "the API to recover")


@pytest.mark.req("GATEWAY-08")
def test_requests_beyond_the_database_queue_get_503_with_retry_after(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Requests beyond the queue for a connection are rejected immediately, as overload, not as an outage."""
    with ExitStack() as opened, ApiServer(own_postgres.url(), tmp_path / "api.log") as api:
        clients = [socket.create_connection(("127.0.0.1", api.port), 30) for _ in range(MAX_QUEUED + 100)]
        for client in clients:
            opened.enter_context(client)
        request = b"GET /api/factories HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        with frozen(own_postgres):
            for client in clients:
                client.sendall(request)
            answers = [client.makefile("rb").read() for client in clients]
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
        assert len(refused) >= 90
        assert all(b"Retry-After: 1\r\n" in answer and b"OVERLOADED" in answer for answer in refused)
        others = [answer for answer in answers if answer not in refused]
        assert all(answer.startswith(b"HTTP/1.1 500 ") for answer in others)
        assert len(others) >= MAX_QUEUED - 10


@pytest.mark.req("GATEWAY-08")
def test_with_default_settings_a_silent_database_costs_a_request_less_than_5_s(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with ApiServer(own_postgres.url(), tmp_path / "api.log", {"DB_POOL_TIMEOUT_S": ""}) as api:
        path = f"/api/gateways/{api.gateway(api.factory()['id'])['id']}"
        with frozen(own_postgres):
            assert api.call("GET", path, headers={"X-Request-ID": "silent"}).status == 500
        [line] = api.requests_logged("silent")
        assert line["duration_ms"] < ANSWER_LIMIT_S * 1000
        wait_until(lambda: api.call("GET", path).status == 200, 15, "the API to recover")
        assert api.process is not None
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(12) == 0
