"""A child process that answers each line of JSON with another."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox, tagged
from devstack.processes.child import Child
from devstack.project import PROJECT


class LineProcess:
    """Starts on creation; `greeting` is its first line. For one thread. All lines are JSON objects."""

    def __init__(
        self,
        sandbox: Sandbox,
        name: str,
        command: tuple[str, ...],
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Raises StackError if the first line does not come."""
        seen = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **(environment or {})}
        self._child = Child(
            name,
            command,
            tagged(sandbox, seen),
            directory / f"{name}.log",
            pipe_stdio=True,
            directory=directory,
        )
        sandbox.start_child(self._child)
        self.greeting = self._listen()

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and return the answer. Raises StackError if the process has ended."""
        process = self._child.process
        if process is None or process.stdin is None:
            raise StackError(f"{self._child.name} is gone")
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise StackError(f"{self._child.name} is gone") from None
        return self._listen()

    def close(self) -> None:
        """Kill the process. Harmless twice."""
        self._child.stop(0)

    def _listen(self) -> dict[str, Any]:
        process = self._child.process
        line = process.stdout.readline() if process is not None and process.stdout is not None else b""
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            log = self._child.log_path.read_text(errors="replace").strip()
            raise StackError(f"{self._child.name} does not answer: {log[-200:]}") from None
        return answer
