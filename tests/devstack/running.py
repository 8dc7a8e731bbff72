"""A copy of the project in which `make run` is started."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.postgres.server import free_port
from devstack.processes.orphans import read_record
from devstack.project import PROJECT
from devstack.run.environment import Address
from devstack.run.stack import is_ready
from tests.support.waiting import wait_until

READY_LIMIT_S = 30.0


class Millgate:
    """One project folder in which `make run`'s command can be started repeatedly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.data = folder / "data"
        self.process: subprocess.Popen[str] | None = None

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Start it without waiting."""
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
        own = {"PORT": str(self.port), "MILLGATE_DATA_DIR": str(self.data)}
        with (self.folder / "said").open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devstack", "run"],
                cwd=self.folder,
                env={**kept, **own, **environment},
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                # The most permissive umask.
                umask=0,
            )
        return self.process

    def output(self) -> str:
        """Return the output since the last start."""
        return (self.folder / "said").read_text()

    def start_until_ready(self, **environment: str) -> subprocess.Popen[str]:
        """Start it and wait for its ready line."""
        process = self.start(**environment)
        ready = f"Millgate is ready: http://127.0.0.1:{self.port}"
        wait_until(
            lambda: ready in self.output() or process.poll() is not None, READY_LIMIT_S, "the ready line"
        )
        assert ready in self.output(), self.output()
        return process

    def pids(self) -> dict[str, int]:
        """Return the process ids of its parts."""
        return {child.name: child.pid for child in read_record(self.data / "children.json")}

    def is_ready(self) -> bool:
        """Whether its API is ready."""
        return is_ready(Address("127.0.0.1", self.port))


@pytest.fixture
def millgate(tmp_path: Path) -> Iterator[Millgate]:
    for name in ("devstack", "service", "workers", "db"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    millgate = Millgate(tmp_path)
    yield millgate
    if millgate.process is not None and millgate.process.poll() is None:
        millgate.process.send_signal(signal.SIGTERM)
        millgate.process.wait(12)
