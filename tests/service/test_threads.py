"""Threads are created when started, so that a process may fork between creating and starting an object."""

import ast
import os
import subprocess
import sys

import pytest

from devstack.postgres.server import free_port
from devstack.project import PROJECT
from service.threads import BackgroundThread
from tests.support.worker_settings import worker_environment


@pytest.mark.parametrize("part", ["api", "worker"])
def test_a_thread_object_created_before_a_fork_starts_after_it(part: str, database_url: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.service.started_after_fork", part],
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            **worker_environment(database_url, {"METRICS_PORT": str(free_port())}),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_thread_that_was_never_started_counts_as_ended() -> None:
    assert BackgroundThread(lambda: None, "unused").join(0.0)


@pytest.mark.parametrize("folder", ["service", "workers", "simulator", "devstack", "chaos", "bench"])
def test_no_module_keeps_an_unstarted_thread(folder: str) -> None:
    for path in sorted((PROJECT / folder).rglob("*.py")):
        if ".venv" in path.parts:
            continue
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                called = {
                    getattr(call.func, "attr", None) or getattr(call.func, "id", None)
                    for call in ast.walk(function)
                    if isinstance(call, ast.Call)
                }
                assert "Thread" not in called or "start" in called, f"{path}: {function.name}"
