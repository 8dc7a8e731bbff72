"""One version of Millgate on one database: its migrations, an API and workers, as processes."""

import http.client
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.commands import API, WORKER, local
from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox, tagged
from devstack.postgres.migrated import migrate
from devstack.postgres.server import free_port
from devstack.processes.child import Child
from devstack.project import PROJECT

START_LIMIT_S = 30.0
REQUEST_LIMIT_S = 15.0
API_STOP_LIMIT_S = 40.0
WORKER_STOP_LIMIT_S = 70.0


@dataclass
class Installation:
    """For the rehearsal's thread. All that it starts ends with the sandbox."""

    sandbox: Sandbox
    name: str
    database_url: str = field(repr=False)
    key: str = field(repr=False)
    project: Path = PROJECT
    """Where the version's code is."""
    port: int = 0
    """The API's, once it was started."""
    workers: list[Child] = field(default_factory=list)
    api: Child | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What its processes see."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.project),
            "DATABASE_URL": self.database_url,
            "ENCRYPTION_KEY": self.key,
        }

    def migrate(self) -> None:
        """Applies the version's migrations. Raises StackError."""
        migrate(self.database_url, self.project)

    def start_api(self) -> int:
        """Starts an API; returns its port once it answers. Raises StackError."""
        self.port = free_port()
        gunicorn, option, configuration, application = local(API)
        command = (gunicorn, option, str(self.project / configuration), application)
        self.api = self._start("api", command, {"PORT": str(self.port)})
        self._wait(self.api, lambda: self.status("/api/health") == http.HTTPStatus.OK)
        return self.port

    def start_worker(self) -> Child:
        """Starts a worker; returns at once. Raises StackError."""
        worker = self._start(f"worker-{len(self.workers) + 1}", local(WORKER), {})
        self.workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        """Stops one after the other, as an operator does: each hands its gateways over."""
        for worker in self.workers:
            worker.stop(WORKER_STOP_LIMIT_S)

    def stop_api(self) -> None:
        """Stops the API, which finishes its requests."""
        if self.api is not None:
            self.api.stop(API_STOP_LIMIT_S)

    def stop(self) -> None:
        """Stops everything."""
        self.stop_workers()
        self.stop_api()

    def status(self, path: str) -> int | None:
        """How the API answers a GET; None: not at all."""
        try:
            return call(self.port, "GET", path)[0]
        except (OSError, http.client.HTTPException):
            return None

    def _start(self, name: str, command: tuple[str, ...], more: Mapping[str, str]) -> Child:
        directory = self.sandbox.path / self.name
        directory.mkdir(exist_ok=True)
        environment = tagged(self.sandbox, {**self.environment, **more})
        # Not in the project's directory: a developer's .env is none of its business.
        child = Child(name, command, environment, directory / f"{name}.log", directory=directory)
        self.sandbox.start_child(child)
        return child

    def _wait(self, child: Child, is_ready: Any) -> None:
        ended = self.sandbox.wait_until(lambda: child.exit_code() is not None or is_ready(), START_LIMIT_S)
        if ended is None or child.exit_code() is not None:
            raise StackError(
                f"{child.name} of {self.name} did not start: {child.log_path.read_text()[-500:]}"
            )


def call(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """One request on a connection of its own: status and body. Raises OSError, http.client.HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_LIMIT_S)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    return response.status, json.loads(answer) if answer else None
