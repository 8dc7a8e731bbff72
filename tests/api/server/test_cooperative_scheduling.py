"""Greenlets are not preempted: computing and waiting must let others run."""

import json
import subprocess
import sys
import tempfile

import pytest

from devstack.project import PROJECT
from tests.support.api_server import KEY

LONGEST_TURN_S = 0.1


def run(module: str, database_url: str) -> str:
    """Run a module in a separate process, because it patches the standard library; return its output."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(PROJECT),
        "DATABASE_URL": database_url,
        "ENCRYPTION_KEY": KEY,
        "LOG_LEVEL": "error",
    }
    process = subprocess.run(
        [sys.executable, "-m", module],
        env=environment,
        # Not in the project's directory, where a developer's .env would be read.
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.req("API-02")
def test_no_request_blocks_its_process_for_long(database_url: str) -> None:
    measured = json.loads(run("tests.api.server.blocking_times", database_url))
    assert {name: longest for name, longest in measured.items() if longest > LONGEST_TURN_S} == {}, measured


@pytest.mark.req("API-02")
def test_waiting_greenlets_let_others_run(database_url: str) -> None:
    run("tests.api.server.greenlets", database_url)
