"""One row's environment: a database on the shared server, a directory, and the processes to end."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox, tagged
from devstack.processes.child import Child
from devstack.project import PROJECT
from devstack.run.environment import new_encryption_key

ENDED_INTERVAL_S = 0.05


class BenchEnvironment:
    """Open while its row is measured; leaving it ends everything started in it. For the row's thread."""

    def __init__(
        self, sandbox: Sandbox, name: str, *, is_quick: bool = False, database_url: str | None = None
    ) -> None:
        """`is_quick`: measure in a fifth of the time, with results that are not kept.

        `database_url`: a migrated database elsewhere, in place of one on the server that rows share.
        """
        self.sandbox = sandbox
        self.is_quick = is_quick
        self.directory = sandbox.path / name
        self.directory.mkdir()
        self.key = new_encryption_key()
        self._name = name
        self._stack = ExitStack()
        self._database_url = database_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def on_close(self, end: Callable[[], object]) -> None:
        """Register a callback for the end of the environment; the last one registered runs first."""
        self._stack.callback(end)

    def say(self, text: str) -> None:
        """Log the row's progress."""
        self.sandbox.say(f"{self._name}: {text}")

    @property
    def database_url(self) -> str:
        """The URL of the row's own database, made on first use. Raises StackError."""
        if self._database_url is None:
            self._database_url = self.sandbox.new_database()
        return self._database_url

    @property
    def postgres_pid(self) -> int:
        """The process id of the server that the database is on."""
        return self.sandbox.server_pid

    def connect(self) -> psycopg.Connection:
        """A connection to the database, on autocommit, closed with the environment."""
        return self._stack.enter_context(psycopg.connect(self.database_url, autocommit=True))

    def start(
        self,
        name: str,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> Child:
        """Starts a program that writes to `name.log` in our directory and ends with the environment.

        Its environment is `environment` with PATH, HOME and PYTHONPATH.
        """
        seen = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "PYTHONPATH": str(PROJECT),
            **environment,
        }
        child = Child(
            name,
            command,
            tagged(self.sandbox, seen),
            self.directory / f"{name}.log",
            # Not in the project's directory, where a developer's .env would be read.
            directory=directory or self.directory,
        )
        self.sandbox.start_child(child)
        self._stack.callback(child.stop, 2)
        return child

    def run(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        limit_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program to its end and return its output. Raises StackError, StopAskedError."""
        log_path = self.directory / f"{name}.log"
        log_path.unlink(missing_ok=True)
        child = self.start(name, command, environment or {})
        ended = self.sandbox.wait_until(lambda: child.exit_code() is not None, limit_s, ENDED_INTERVAL_S)
        written = log_path.read_text(errors="replace")
        if ended is None or child.exit_code() != 0:
            raise StackError(f"{name} failed: {written.strip()[-500:]}")
        return written

    def wait(self, holds: Callable[[], bool], limit_s: float) -> float | None:
        """As Sandbox.wait_until."""
        return self.sandbox.wait_until(holds, limit_s)

    def pause(self, seconds: float) -> None:
        """As Sandbox.pause."""
        self.sandbox.pause(seconds)
