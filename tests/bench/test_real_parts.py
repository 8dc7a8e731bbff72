"""Rows with Millgate itself: requested resources exist, and nothing remains afterwards."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.api import growth
from bench.api.answers import differences
from bench.api.contestants import CONTESTANTS, start
from bench.api.equivalence import EquivalenceChecker
from bench.api.seed import PASSWORD, seal_each, seed
from bench.environment import BenchEnvironment
from bench.peers.fastapi.sealing import Sealer
from devstack.harness.sandbox import Sandbox
from devstack.processes.orphans import owned_processes
from devstack.project import PROJECT
from service.crypto import Sealer as OurSealer
from service.crypto import Secret
from tests.support.waiting import wait_until

LIMIT_S = 60
MILLGATE = CONTESTANTS[0]


@pytest.fixture
def env(tmp_path: Path, database_url: str) -> Iterator[BenchEnvironment]:
    with (
        Sandbox(tmp_path / "bench-test", lambda _text: None) as sandbox,
        BenchEnvironment(sandbox, "row", is_quick=True, database_url=database_url) as opened,
    ):
        yield opened


def test_millgate_is_equivalent_to_itself(env: BenchEnvironment) -> None:
    connection = env.connect()
    seed(connection, Sealer(env.key), 1, 300)
    running = start(env, MILLGATE)
    checker = EquivalenceChecker(env, connection)
    first, second = checker.examine(running), checker.examine(running)
    assert not differences(first, second)
    assert {first[what]["status"] for what in ("one", "page of a factory", "last page", "change")} == {200}
    assert first["create"]["status"] == 201
    assert first["known page"]["status"] == 304
    assert first["too old"]["status"] == 412
    assert [row["password"] for row in first["stored"]] == ["päßword"] * 2
    assert first["lines in the log"] == len(first) - 2


def test_what_is_seeded_is_sealed_as_millgate_seals(env: BenchEnvironment) -> None:
    connection = env.connect()
    sealer = Sealer(env.key)
    seed(connection, sealer, 1, 200)
    seal_each(connection, sealer)
    ours = OurSealer(Secret(env.key))
    rows = connection.execute("SELECT id, sealed_password FROM gateways WHERE generation = 1").fetchall()
    assert len(rows) == 200
    assert connection.execute("SELECT count(*) FROM desired_state_changes").fetchone() == (200,)
    assert {ours.open(bytes(sealed), row_id).reveal() for row_id, sealed in rows} == {PASSWORD}
    states = connection.execute("SELECT DISTINCT state FROM gateway_statuses ORDER BY state").fetchall()
    assert states == [("connected",), ("retrying",)]


def test_growth_requests_existing_resources(env: BenchEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "QUICK_SIZES", (100, 300))
    monkeypatch.setattr(growth, "MOST_REQUESTS", 2)
    monkeypatch.setattr(growth, "WARM_UP", 1)
    found = growth.grow(env)
    assert "| gateways | 100 | 300 |" in found.ratios
    assert "n/a" not in found.ratios


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "--only", "ceiling"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        directory = PROJECT / ".data" / f"bench-{process.pid}"
        try:
            for line in process.stdout:
                if "round 1" in line:
                    break
            wait_until(lambda: list(owned_processes(str(directory))), 20, "pgbench to run")
            process.send_signal(number)
            assert process.wait(LIMIT_S) == 130
        finally:
            process.kill()
    assert not directory.exists()
    assert not list(owned_processes(str(directory)))
