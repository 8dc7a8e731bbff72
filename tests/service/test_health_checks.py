"""The container health check, on a real API and a real worker."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.postgres.server import free_port
from devstack.project import PROJECT
from tests.support.api_server import ApiServer
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess
from workers.metrics_server import MetricsServer

LIMIT_S = 30.0
pytestmark = pytest.mark.req("DB-01")


def check(module: str, directory: Path, **environment: str) -> tuple[int, str]:
    """Return exit status and output."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=directory,
        env={"PYTHONPATH": str(PROJECT), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("extra", [{}, {"HOST": "0.0.0.0"}, {"FORCE_HTTPS": "true"}])  # noqa: S104
def test_the_api_is_healthy_while_it_responds(
    extra: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    with ApiServer(database_url, tmp_path / "api.log", extra) as api:
        environment = {"PORT": str(api.port), **extra}
        assert check("service.health_check", tmp_path, **environment) == (0, "")
    status, said = check("service.health_check", tmp_path, **environment)
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("unhealthy: ")


def test_a_worker_is_healthy_while_it_has_its_lease(database_url: str, tmp_path: Path) -> None:
    port = str(free_port())
    worker = WorkerProcess(database_url, tmp_path, {"METRICS_PORT": port})
    try:
        wait_until(
            lambda: check("workers.health_check", tmp_path, METRICS_PORT=port) == (0, ""),
            LIMIT_S,
            "a healthy worker",
        )
    finally:
        worker.process.terminate()
        worker.process.wait(LIMIT_S)
    status, said = check("workers.health_check", tmp_path, METRICS_PORT=port)
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("unhealthy: ")


@contextmanager
def metrics(text: str) -> Iterator[str]:
    """Return the port of a server with this response."""
    port = free_port()
    server = MetricsServer("127.0.0.1", port, text.encode, lambda _: True)
    server.start()
    try:
        yield str(port)
    finally:
        server.stop(timeout_s=LIMIT_S)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("millgate_lease_margin_seconds 0.0\n", "unhealthy: the worker has no lease\n"),
        ("millgate_gateways 1\n", "unhealthy: these are not a worker's metrics\n"),
    ],
)
def test_a_worker_without_a_lease_is_unhealthy(text: str, said: str, tmp_path: Path) -> None:
    with metrics(text) as port:
        assert check("workers.health_check", tmp_path, METRICS_PORT=port) == (1, said)


def test_without_metrics_it_names_the_setting(tmp_path: Path) -> None:
    status, said = check("workers.health_check", tmp_path)
    assert (status, said) == (1, "unhealthy: METRICS_PORT must be between 1 and 65535\n")
