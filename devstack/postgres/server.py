"""An embedded PostgreSQL 18 in its own directory, run as a child process on a loopback port."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from devstack.errors import StackError
from devstack.postgres.binaries import binary_directory
from devstack.postgres.cluster import OWNER, end_server_of, is_ready, make_cluster, may_try_again, start_as
from devstack.postgres.run_as import ROOT_USER, RunAs, check_readable, chown_tree, run_as_for
from devstack.processes.log_files import last_lines, size_of

DATABASE = "millgate"
START_TIMEOUT_S = 30.0
FAST_STOP_LIMIT_S = 5.0
IMMEDIATE_STOP_LIMIT_S = 1.0
POLL_INTERVAL_S = 0.01

FIXED_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "logging_collector": "off",
}


class EmbeddedPostgres:
    """One server. Not thread-safe: start, stop and poll belong to one thread.

    `start()` after `stop()` takes the same port again, so that URLs stay valid across a restart.
    """

    name = "postgres"
    stop_signal: int = signal.SIGINT
    stop_limit_s: float = FAST_STOP_LIMIT_S

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] | None = None, log_path: Path | None = None
    ) -> None:
        """`data_dir` is made when needed; `settings` are configuration parameters of PostgreSQL."""
        self.data_dir = data_dir.absolute()
        self.settings = {**(settings or {}), **FIXED_SETTINGS}
        self.log_path = log_path or self.data_dir / "postgres.log"
        self.port: int | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._cluster = self.data_dir / "cluster"
        self._password_file = self.data_dir / "password"

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self.data_dir)!r}, port={self.port})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, database: str = DATABASE) -> str:
        """Return the connection URL of a database, with the password. Needs a server that was started."""
        if self.port is None:
            raise RuntimeError("the server was never started")
        password = quote(self._password_file.read_text(), safe="")
        return f"postgresql://{OWNER}:{password}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def running_url(self) -> str | None:
        """Return the URL of the ready server of another process in this directory; None without one."""
        try:
            pid, _, _, port, *_ = (self._cluster / "postmaster.pid").read_text(errors="replace").splitlines()
            os.kill(int(pid), 0)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        self.port = int(port)
        return self.url()

    def start(
        self,
        *,
        timeout_s: float = START_TIMEOUT_S,
        on_spawn: Callable[[int], None] = lambda _pid: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start the server, making its files the first time, and wait until it accepts connections.

        `on_spawn` gets the process id before the wait; `cancelled` is polled while waiting. Raises StackError
        with the server's output when it does not start, and leaves nothing running then.
        """
        deadline = time.monotonic() + timeout_s
        run_as = run_as_for(self._cluster)
        self._prepare_directory(run_as)
        end_server_of(self._cluster)
        wanted_port = self.port
        while True:
            self.port = wanted_port or free_port()
            log_start = size_of(self.log_path)
            self._spawn(run_as)
            on_spawn(self.pid)
            if self._wait_until_ready(deadline, cancelled):
                break
            self.stop()
            words = last_lines(self.log_path, log_start)
            if cancelled() or time.monotonic() > deadline or not may_try_again(words, wanted_port is None):
                raise StackError("\n".join(["PostgreSQL did not start:", *words]))
        try:
            self._ensure_database()
        except BaseException:
            self.stop()
            raise

    def request_stop(self) -> None:
        """Do nothing: the other processes need the server until they have stopped."""

    def stop(self, limit_s: float = FAST_STOP_LIMIT_S) -> None:
        """Stop the server: fast shutdown, after the limit an immediate one, then kill; harmless twice."""
        process = self.process
        if process is None:
            return
        for number, step_limit_s in ((signal.SIGINT, limit_s), (signal.SIGQUIT, IMMEDIATE_STOP_LIMIT_S)):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(step_limit_s)
                break
        else:
            process.kill()
            process.wait()
        self.process = None

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        if self.process is None:
            raise RuntimeError("the server is not running")
        return self.process.pid

    def exit_code(self) -> int | None:
        """Return the exit code; None while the server runs."""
        return None if self.process is None else self.process.poll()

    def _prepare_directory(self, run_as: RunAs) -> None:
        check_readable(run_as, nearest_folder(self.data_dir), binary_directory() / "postgres")
        if self._cluster.exists():
            chown_tree(run_as, self.data_dir)
            check_readable(run_as, self.data_dir)
            return
        was_there = self.data_dir.exists()
        try:
            self._make_files(run_as)
        except BaseException:
            # A partial directory would block a start by another user.
            if not was_there:
                shutil.rmtree(self.data_dir, ignore_errors=True)
            raise

    def _make_files(self, run_as: RunAs) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        # Remains may belong to a user that does not run the server this time.
        if os.geteuid() == ROOT_USER:
            os.chown(self.data_dir, ROOT_USER, os.getegid())
        self._password_file.unlink(missing_ok=True)
        write_secret(self._password_file, secrets.token_urlsafe(24))
        chown_tree(run_as, self.data_dir)
        check_readable(run_as, self.data_dir)
        durable = self.settings.get("fsync") != "off"
        make_cluster(self._cluster, run_as, self._password_file, self.log_path, durable=durable)

    def _spawn(self, run_as: RunAs) -> None:
        options = ["-D", str(self._cluster), "-p", str(self.port)]
        for setting, value in self.settings.items():
            options += ["-c", f"{setting}={value}"]
        self.process = start_as(run_as, "postgres", options, self.log_path)

    def _wait_until_ready(self, deadline: float, cancelled: Callable[[], bool]) -> bool:
        status_file = self._cluster / "postmaster.pid"
        while time.monotonic() < deadline and not cancelled():
            if self.exit_code() is not None:
                return False
            if is_ready(status_file, self.pid):
                return True
            time.sleep(POLL_INTERVAL_S)
        return False

    def _ensure_database(self) -> None:
        import psycopg  # noqa: PLC0415  (only needed here, and slow to load)

        try:
            with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
                if known.fetchone() is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise StackError(f"PostgreSQL started, but its database cannot be reached: {error}") from None


def nearest_folder(path: Path) -> Path:
    """Return the path itself, or the nearest existing folder above it."""
    return next(each for each in (path, *path.parents) if each.exists())


def free_port() -> int:
    """Return a TCP port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.rename(path)
