"""A real gunicorn, and the HTTP client that rows look at statuses with."""

import http.client
import json
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psutil

from devstack.commands import API, local
from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox, tagged
from devstack.postgres.server import free_port
from devstack.processes.child import Child
from devstack.project import PROJECT

REQUEST_LIMIT_S = 15.0
START_LIMIT_S = 30.0


@dataclass(frozen=True)
class Reply:
    """A whole answer, and how long it took."""

    status: int
    json: Any
    took_s: float


class Api:
    """One API, as `make api` starts it. Any thread may call it."""

    def __init__(self, sandbox: Sandbox, directory: Path, database_url: str, key: str) -> None:
        """Started, and answering, when made. Raises StackError."""
        self._household = sandbox
        self.port = free_port()
        gunicorn, option, _, application = local(API)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "DATABASE_URL": database_url,
            "ENCRYPTION_KEY": key,
            "PORT": str(self.port),
        }
        self._child = Child(
            "api",
            (gunicorn, option, str(PROJECT / "service" / "gunicorn_conf.py"), application),
            tagged(sandbox, environment),
            directory / "api.log",
            # Not in the project's directory: a developer's .env is none of our business.
            directory=directory,
        )
        self.start()

    def start(self) -> None:
        """Starts it (again), on the same port. Raises StackError."""
        self._household.start_child(self._child)
        answers = self._household.wait_until(
            lambda: self._child.exit_code() is not None or self._answers(), START_LIMIT_S
        )
        if answers is None or self._child.exit_code() is not None:
            raise StackError("the API did not start")

    def call(self, method: str, path: str, body: object = None) -> Reply:
        """One request on a connection of its own. Raises OSError or http.client.HTTPException."""
        return self._call(method, path, None if body is None else json.dumps(body), "application/json")

    def post_lines(self, path: str, lines: Iterable[object]) -> Reply:
        """As `call`, with JSON lines for a body."""
        return self._call("POST", path, "\n".join(map(json.dumps, lines)), "application/x-ndjson")

    def _call(self, method: str, path: str, content: str | None, content_type: str) -> Reply:
        began = monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_LIMIT_S)
        try:
            connection.request(method, path, content, {"Content-Type": content_type})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return Reply(response.status, json.loads(text) if text else None, monotonic() - began)

    def kill_a_process(self) -> None:
        """kill -9 of one of the processes that serve."""
        self._process().children()[0].kill()

    def processes(self) -> list[psutil.Process]:
        """The parent and those that serve."""
        parent = self._process()
        return [parent, *parent.children(recursive=True)]

    def kill(self) -> None:
        """kill -9 of all its processes."""
        for process in self.processes():
            process.send_signal(signal.SIGKILL)
        self._child.stop(0)

    def close(self) -> None:
        """Ends it, by force. Harmless twice."""
        self._child.stop(0)

    def _process(self) -> psutil.Process:
        if self._child.process is None:
            raise StackError("the API does not run")
        return psutil.Process(self._child.process.pid)

    def _answers(self) -> bool:
        try:
            return self.call("GET", "/api/health").status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
