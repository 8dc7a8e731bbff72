"""A worker's metrics, and their server, in which no client delays another."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from time import monotonic

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.postgres.server import free_port
from service.errors import ConfigurationError
from service.network.allowed_hosts import OwnHosts
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.workers.conftest import StartSite, StartWorker
from workers.metrics_server import CLIENT_TIMEOUT_S, MAX_CLIENTS, MetricsServer

LIMIT_S = 30.0


def ask(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    """Return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def read(port: int) -> dict[str, float]:
    """Return every series by its name and the value of its one label."""
    status, text = ask(port)
    assert status == 200
    return {
        ":".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def server() -> Iterator[tuple[MetricsServer, int]]:
    """Yield a server that returns `fine`, and its port."""
    port = free_port()
    own_hosts = OwnHosts.of("127.0.0.1", ["metrics.example"])
    server = MetricsServer("127.0.0.1", port, lambda: b"fine\n", own_hosts.include)
    server.start()
    yield server, port
    server.stop(timeout_s=LIMIT_S)


def test_metrics_show_the_workers_state(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    port = free_port()
    worker = start_worker(METRICS_PORT=str(port))
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    bad_id = testbed.add("CTC-bad", "ws://127.0.0.1:9", password="canary-password")
    testbed.wait_for_state(row_id, "connected")
    testbed.wait_for_state(bad_id, "retrying")
    gateway.send({"Type": "NOT_DYN_TEMP", "From": "SERV", "Target": "UI", "Data": {}})
    wait_until(lambda: read(port)["millgate_messages_total"] >= 1, LIMIT_S, "the message")
    said = read(port)
    assert said["millgate_gateways:connected"] == 1
    assert sum(value for name, value in said.items() if name.startswith("millgate_gateways:")) == 2
    assert said["millgate_connects_total"] == 1
    assert said["millgate_attempts_total"] >= 2
    assert said["millgate_failures_total:connection_refused"] >= 1
    assert said["millgate_failures_total:login_rejected"] == 0
    assert said["millgate_gateway_capacity"] > 2
    assert said["millgate_database_up"] == 1
    assert said["millgate_db_pool_connection_errors_total"] == 0
    assert 0 < said["millgate_lease_margin_seconds"] < 2
    assert said["millgate_report_delay_seconds"] < LIMIT_S
    assert said["millgate_db_pool_requests_total"] > 0
    assert "canary-password" not in ask(port)[1]
    assert str(row_id) not in ask(port)[1]
    worker.stop()
    with pytest.raises(OSError, match="refused"):
        ask(port)
    assert "metrics" not in {thread.name for thread in threading.enumerate()}


def test_without_a_port_the_worker_does_not_listen(testbed: WorkerTestBed, start_worker: StartWorker) -> None:
    start_worker()
    wait_until(lambda: testbed.rows("SELECT FROM workers"), LIMIT_S, "the worker to register")
    assert "metrics" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.usefixtures("testbed")
def test_a_port_that_is_taken_stops_the_start(start_worker: StartWorker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"METRICS_PORT {port}"):
            start_worker(METRICS_PORT=str(port))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics", 200), ("GET", "/", 404), ("POST", "/metrics", 501), ("GET", "/metrics?x=1", 404)],
)
def test_only_get_metrics_is_served(
    server: tuple[MetricsServer, int], method: str, path: str, status: int
) -> None:
    assert ask(server[1], path, method)[0] == status


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.0 400"),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"HTTP/1.0 421"),
        (b"GET /" + b"x" * 70_000, b"HTTP/1.0 414"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 70_000, b"HTTP/1.0 431"),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"HTTP/1.0 431"),
    ],
)
def test_a_malformed_request_is_rejected(
    server: tuple[MetricsServer, int], sent: bytes, answer: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), LIMIT_S) as client:
        client.sendall(sent)
        assert answer in client.recv(500)
    assert ask(server[1]) == (200, "fine\n")


@pytest.mark.parametrize(
    ("version", "host", "status"),
    [
        ("1.1", "Host: localhost:9100", b"200"),
        ("1.1", "Host: METRICS.example.", b"200"),
        ("1.0", "X: y", b"400"),
        ("1.1", "Host: evil.example", b"421"),
        ("1.0", "host: evil.example:9100", b"421"),
        ("1.1", "X: y", b"400"),
        ("1.1", "Host: localhost\r\nHost: evil.example", b"400"),
    ],
)
def test_an_unknown_host_is_not_served(
    server: tuple[MetricsServer, int], version: str, host: str, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), LIMIT_S) as client:
        client.sendall(f"GET /metrics HTTP/{version}\r\n{host}\r\n\r\n".encode())
        assert client.recv(100).split(b" ")[1] == status


SLOW = (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\n")


def test_slow_clients_delay_no_other(server: tuple[MetricsServer, int]) -> None:
    """One after the other, dozens of slow clients would take a minute and more."""
    with ExitStack() as clients:
        for number in range(4 * MAX_CLIENTS):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server[1]), LIMIT_S))
            client.sendall(SLOW[number % len(SLOW)])
        began = monotonic()
        for _ in range(4):
            assert ask(server[1]) == (200, "fine\n")
        assert monotonic() - began < CLIENT_TIMEOUT_S
        served = [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
        assert len(served) <= MAX_CLIENTS


def test_a_client_that_dribbles_its_request_is_disconnected(server: tuple[MetricsServer, int]) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), LIMIT_S) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")

        def is_hung_up_on() -> bool:
            try:
                client.sendall(b"x")
            except OSError:
                return True
            return False

        wait_until(is_hung_up_on, LIMIT_S, "the end of the client's time")


def test_a_client_that_does_not_read_its_response_is_disconnected() -> None:
    port = free_port()
    server = MetricsServer("127.0.0.1", port, lambda: b"x" * 50_000_000, lambda _: True)
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1)
            threads = [thread for thread in threading.enumerate() if "process_request" in thread.name]
            wait_until(lambda: not any(thread.is_alive() for thread in threads), LIMIT_S, "its thread's end")
    finally:
        server.stop(timeout_s=LIMIT_S)


def test_the_server_stops_despite_a_silent_client(server: tuple[MetricsServer, int]) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), LIMIT_S) as client:
        server[0].stop(timeout_s=LIMIT_S)
        # It may not have been accepted yet.
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        ask(server[1])
