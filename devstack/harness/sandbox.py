"""The sandbox of `make chaos` and `make bench`: one directory, and processes that end with it."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psycopg

from devstack.errors import StackError, StopAskedError
from devstack.postgres.migrated import TEMPLATE, copy_template, migrate
from devstack.postgres.server import EmbeddedPostgres
from devstack.processes.child import Child
from devstack.processes.orphans import OWNER_ENV
from devstack.processes.owner import TemporaryOwner

POLL_INTERVAL_S = 0.02
CHILD_STOP_LIMIT_S = 1.0
# Several rows, or several programs, share one server.
SHARED_SETTINGS = {"max_connections": "400"}


class Sandbox:
    """Owns the directory and ends the processes started in it. Any thread may call.

    If we are killed, the next run of the same kind (`chaos-…`) removes the directory.
    """

    def __init__(
        self, directory: Path, say: Callable[[str], None], settings: Mapping[str, str] = SHARED_SETTINGS
    ) -> None:
        """`settings`: configuration parameters of the server that rows share."""
        self._owner = TemporaryOwner(directory)
        self.path = self._owner.directory
        self.say = say
        self.stopping = threading.Event()
        self._server_lock = threading.Lock()
        self._settings = settings
        self._server: EmbeddedPostgres | None = None

    def __enter__(self) -> Self:
        self._owner.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop(limit_s=1)
        self._owner.__exit__()

    @property
    def owner_tag(self) -> str:
        """Return the value of OWNER_ENV in the environment of its processes."""
        return self._owner.owner_tag

    @property
    def server_pid(self) -> int:
        """Return the process id of the shared server, which `new_database` starts."""
        if self._server is None:
            raise StackError("the server that rows share was not started")
        return self._server.pid

    def start_child(self, child: Child) -> None:
        """Start and own a program; its environment must contain OWNER_ENV."""
        child.start(on_spawn=lambda pid: self._owner.add(child, pid, CHILD_STOP_LIMIT_S))

    def start_server(self, server: EmbeddedPostgres) -> None:
        """Start and own a PostgreSQL server, also after a stop. Raises StackError."""
        server.start(
            on_spawn=lambda pid: self._owner.add(server, pid, CHILD_STOP_LIMIT_S),
            cancelled=self.stopping.is_set,
        )

    def new_database(self) -> str:
        """Return the URL of a new migrated database on the shared server, started on first use."""
        with self._server_lock:
            if self._server is None:
                self.say("starting PostgreSQL")
                server = EmbeddedPostgres(self.path / "postgres", self._settings)
                self.start_server(server)
                self._server = server
                migrate(server.url(TEMPLATE))
            name = f"shared_{uuid.uuid4().hex}"
            with psycopg.connect(self._server.url("postgres"), autocommit=True) as admin:
                copy_template(admin, name)
            return self._server.url(name)

    def wait_until(
        self, holds: Callable[[], bool], limit_s: float, poll_interval_s: float = POLL_INTERVAL_S
    ) -> float | None:
        """Wait for a condition; return the monotonic time at which it held, None on timeout.

        Raises StopAskedError.
        """
        deadline = time.monotonic() + limit_s
        while True:
            is_so = holds()
            now = time.monotonic()
            if is_so:
                return now
            if now > deadline:
                return None
            self.pause(poll_interval_s)

    def pause(self, seconds: float) -> None:
        """Wait for some seconds. Raises StopAskedError."""
        if self.stopping.wait(seconds):
            raise StopAskedError


def tagged(sandbox: Sandbox, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the owner tag of the sandbox."""
    return {**environment, OWNER_ENV: sandbox.owner_tag}
