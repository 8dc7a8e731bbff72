"""What `make chaos` and `make bench` start and write: one directory, and processes that end with it."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from devstack.commands import MIGRATE, local
from devstack.errors import StackError
from devstack.postgres.server import EmbeddedPostgres
from devstack.processes.child import Child
from devstack.processes.directory_lock import DirectoryLock
from devstack.processes.orphan_reaper import Leash
from devstack.processes.orphans import MARK, RunningChild, describe, end_leftovers
from devstack.project import PROJECT

TEMPLATE = "millgate_template"
MIGRATE_LIMIT_S = 60.0
POLL_INTERVAL_S = 0.02
# Several rows, or several programs, have their connections on one server.
SHARED_SETTINGS = {"max_connections": "400"}


class StopAskedError(Exception):
    """Somebody asked us to stop while a row was waiting for something."""


class Household:
    """Owns the directory, and ends the processes that were started in it. Any thread may call.

    A small process (devstack.processes.orphan_reaper) ends them if we are killed; the next run
    whose directory is called alike (`chaos-…`) removes the directory.
    """

    def __init__(
        self, directory: Path, say: Callable[[str], None], settings: Mapping[str, str] = SHARED_SETTINGS
    ) -> None:
        """`settings`: configuration parameters of the server that rows share."""
        self.path = directory
        self.say = say
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._server_lock = threading.Lock()
        self._directory_lock = DirectoryLock(directory / "lock")
        self._running: dict[int, RunningChild] = {}
        self._leash: Leash | None = None
        self._settings = settings
        self._server: EmbeddedPostgres | None = None

    def __enter__(self) -> Self:
        data = self.path.parent
        data.mkdir(parents=True, exist_ok=True)
        # One at a time clears away, and none may take a directory for dead whose lock is not there yet.
        one_at_a_time = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            self.path.mkdir()
            self._directory_lock.acquire(wait_s=1)
            remove_dead_runs(data, kind=self.path.name.partition("-")[0])
        finally:
            os.close(one_at_a_time)
        self._leash = Leash(self.path / "children.json", self.mark, self._directory_lock.file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop(limit_s=1)
        end_leftovers(self.path / "children.json", self.mark)
        if self._leash is not None:
            self._leash.release()
        self._directory_lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def mark(self) -> str:
        """What our processes carry in their environment."""
        return str(self.path)

    @property
    def server_pid(self) -> int:
        """The process id of the server that rows share, which `new_database` starts."""
        if self._server is None:
            raise StackError("the server that rows share was not started")
        return self._server.pid

    def start_child(self, child: Child) -> None:
        """Starts a program under our eyes; its environment has to carry MARK."""
        child.start(on_spawn=lambda pid: self._hold(child.name, pid, child.stop_signal))

    def start_server(self, server: EmbeddedPostgres) -> None:
        """Starts a PostgreSQL under our eyes, also after a stop. Raises StackError."""
        server.start(
            on_spawn=lambda pid: self._hold("postgres", pid, server.stop_signal),
            give_up=self.stopping.is_set,
        )

    def new_database(self) -> str:
        """A migrated database of the server that rows share, which is started the first time; its URL."""
        with self._server_lock:
            if self._server is None:
                self.say("starting PostgreSQL")
                server = EmbeddedPostgres(self.path / "postgres", self._settings)
                self.start_server(server)
                self._server = server
                migrate(server.url(TEMPLATE))
            name = f"shared_{uuid.uuid4().hex}"
            with psycopg.connect(self._server.url("postgres"), autocommit=True) as admin:
                admin.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                        sql.Identifier(name), sql.Identifier(TEMPLATE)
                    )
                )
            return self._server.url(name)

    def wait_until(
        self, holds: Callable[[], bool], limit_s: float, poll_interval_s: float = POLL_INTERVAL_S
    ) -> float | None:
        """Waits for a condition; the monotonic time at which it held, None when the time is over.

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
        """Lets time pass. Raises StopAskedError."""
        if self.stopping.wait(seconds):
            raise StopAskedError

    def _hold(self, name: str, pid: int, stop_signal: int) -> None:
        child = describe(name, pid, stop_signal, stop_limit_s=1.0)
        with self._lock:
            if child is not None and self._leash is not None:
                self._running[pid] = child
                self._leash.hold(list(self._running.values()))


def marked(household: Household, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment by which a process is known as ours."""
    return {**environment, MARK: household.mark}


def migrate(database_url: str) -> None:
    """Applies the migrations, as `make migrate` does. Raises StackError."""
    result = subprocess.run(
        local(MIGRATE),
        cwd=PROJECT,
        env={"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=MIGRATE_LIMIT_S,
        check=False,
    )
    if result.returncode != 0:
        raise StackError(f"dbmate could not migrate: {result.stderr.strip()[-500:]}")


def remove_dead_runs(data: Path, kind: str) -> None:
    """Removes what runs of this kind left that were killed."""
    for directory in data.glob(f"{kind}-*"):
        lock = DirectoryLock(directory / "lock")
        # Those of another user are that user's to remove.
        with contextlib.suppress(PermissionError):
            if directory.is_dir() and lock.try_acquire():
                with lock:
                    end_leftovers(directory / "children.json", str(directory))
                    shutil.rmtree(directory, ignore_errors=True)
