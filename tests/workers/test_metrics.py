"""A worker's metrics: what they say, and that nobody who asks for them is in anybody's way."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.postgres import free_port
from service.errors import ConfigurationError
from tests.waiting import wait_until
from tests.workers.conftest import StartSite, StartWorker
from tests.workers.plant import Plant
from workers.metrics_server import CLIENT_TIMEOUT_S, MAX_REQUEST_BYTES, MetricsServer

LIMIT_S = 30.0


def ask(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def read(port: int) -> dict[str, float]:
    """Every series, by its name and the value of its one label."""
    status, text = ask(port)
    assert status == 200
    return {
        ":".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def server() -> Iterator[tuple[MetricsServer, int]]:
    """A server that says `fine`, and its port."""
    port = free_port()
    server = MetricsServer("127.0.0.1", port, lambda: b"fine\n")
    server.start()
    yield server, port
    server.stop(timeout_s=LIMIT_S)


def test_it_says_what_is(plant: Plant, start_site: StartSite, start_worker: StartWorker) -> None:
    gateway = start_site().gateways[0]
    port = free_port()
    worker = start_worker(METRICS_PORT=str(port))
    row_id = plant.add(gateway.gateway_id, gateway.url)
    bad_id = plant.add("CTC-bad", "ws://127.0.0.1:9", password="canary-password")
    plant.wait_for_state(row_id, "connected")
    plant.wait_for_state(bad_id, "retrying")
    gateway.send({"Type": "NOT_DYN_TEMP", "From": "SERV", "Target": "UI", "Data": {}})
    wait_until(lambda: read(port)["millgate_messages_total"] >= 1, LIMIT_S, "the message")
    said = read(port)
    assert said["millgate_gateways:connected"] == 1
    assert sum(value for name, value in said.items() if name.startswith("millgate_gateways:")) == 2
    assert said["millgate_connects_total"] == 1
    assert said["millgate_attempts_total"] >= 2
    assert said["millgate_failures_total:connection_refused"] >= 1
    assert 0 < said["millgate_lease_margin_seconds"] < 2
    assert said["millgate_report_delay_seconds"] < LIMIT_S
    assert said["millgate_db_pool_requests_total"] > 0
    assert "canary-password" not in ask(port)[1]
    assert str(row_id) not in ask(port)[1]
    worker.stop()
    with pytest.raises(OSError, match="refused"):
        ask(port)
    assert "metrics" not in {thread.name for thread in threading.enumerate()}


def test_without_a_port_nobody_listens(plant: Plant, start_worker: StartWorker) -> None:
    start_worker()
    wait_until(lambda: plant.rows("SELECT FROM workers"), LIMIT_S, "the worker to register")
    assert "metrics" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.usefixtures("plant")
def test_a_port_that_is_taken_stops_the_start(start_worker: StartWorker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"METRICS_PORT {port}"):
            start_worker(METRICS_PORT=str(port))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics", 200), ("GET", "/", 404), ("POST", "/metrics", 405), ("GET", "/metrics?x=1", 404)],
)
def test_there_is_one_thing_to_ask_for(
    server: tuple[MetricsServer, int], method: str, path: str, status: int
) -> None:
    assert ask(server[1], path, method)[0] == status


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GARBAGE\r\n\r\n", b"HTTP/1.1 400"),
        (b"\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * (MAX_REQUEST_BYTES + 1), b"HTTP/1.1 431"),
    ],
)
def test_what_is_no_request_is_refused(server: tuple[MetricsServer, int], sent: bytes, answer: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), LIMIT_S) as client:
        client.sendall(sent)
        assert client.recv(100).startswith(answer)
    assert ask(server[1]) == (200, "fine\n")


def test_slow_clients_are_left_alone_after_their_time(server: tuple[MetricsServer, int]) -> None:
    with ExitStack() as clients:
        for sent in (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\n"):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server[1]), LIMIT_S))
            client.sendall(sent)
        # Behind the three, each of which has its time.
        assert ask(server[1]) == (200, "fine\n")
        assert 3 * CLIENT_TIMEOUT_S < LIMIT_S


def test_it_ends_while_a_client_is_silent(server: tuple[MetricsServer, int]) -> None:
    with socket.create_connection(("127.0.0.1", server[1]), LIMIT_S):
        server[0].stop(timeout_s=LIMIT_S)
    with pytest.raises(OSError, match="refused"):
        ask(server[1])
