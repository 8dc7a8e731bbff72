"""The files and the process of one PostgreSQL cluster: make, start, check for readiness, clean up."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from devstack.advice import advice
from devstack.errors import StackError
from devstack.postgres.binaries import program
from devstack.postgres.run_as import RunAs
from devstack.processes.log_files import last_lines, open_log, size_of
from devstack.processes.orphans import belongs_to_another_user, wait_until_gone

OWNER = "millgate"
INITDB_LIMIT_S = 120.0
LEFT_BEHIND_LIMIT_S = 3.0
# A server records its start time slightly late.
START_TOLERANCE_S = 5.0
PORT_TAKEN = "could not create any TCP/IP sockets"
PREDECESSOR_ENDING = ("pre-existing shared memory block", "lock file")


def make_cluster(cluster: Path, run_as: RunAs, password_file: Path, log_path: Path, *, durable: bool) -> None:
    """Run initdb next to the cluster's folder and move the result there, so that a partial one is never used.

    Raises StackError with initdb's output.
    """
    unfinished = cluster.with_name("cluster.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    options = [f"--pgdata={unfinished}", f"--username={OWNER}", f"--pwfile={password_file}"]
    options += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if not durable:
        options.append("--no-sync")
    log_start = size_of(log_path)
    if start_as(run_as, "initdb", options, log_path).wait(timeout=INITDB_LIMIT_S) != 0:
        words = last_lines(log_path, log_start)
        raise StackError("\n".join(["PostgreSQL could not make its files:", *words]))
    unfinished.rename(cluster)


def start_as(run_as: RunAs, name: str, options: list[str], log_path: Path) -> subprocess.Popen[bytes]:
    """Start a program of the wheel in its own session, with a clean environment, writing to a log."""
    log = open_log(log_path)
    try:
        return subprocess.Popen(
            [*run_as.prefix, str(program(name)), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            start_new_session=True,
            user=run_as.user_id,
            group=run_as.group_id,
            extra_groups=None if run_as.user_id is None else [],
        )
    finally:
        os.close(log)


def is_ready(status_file: Path, pid: int) -> bool:
    """Whether the server with this process id says in its status file (`postmaster.pid`) that it is ready."""
    try:
        lines = status_file.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def may_try_again(words: list[str], port_is_free_choice: bool) -> bool:
    """Whether a start that failed with this output can succeed on a retry."""
    text = "\n".join(words)
    if PORT_TAKEN in text:
        return port_is_free_choice
    return any(sign in text for sign in PREDECESSOR_ENDING)


def end_server_of(cluster: Path) -> None:
    """End a server that an earlier run left on this cluster, and remove a stale status file.

    The process id in the file may by now be another program's: only a `postgres` that works in this very
    directory is ended. The caller must be the only user of the cluster. Raises StackError.
    """
    status_file = cluster / "postmaster.pid"
    try:
        pid, _, started_at, *_ = status_file.read_text(errors="replace").splitlines()
        process = psutil.Process(int(pid))
        left_behind = process.name() == "postgres" and works_in(process, cluster, started_at)
    except PermissionError as error:
        raise StackError(advice(error)) from None
    except (FileNotFoundError, ValueError, psutil.Error):
        left_behind = False
    if not left_behind:
        status_file.unlink(missing_ok=True)
        return
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied:
            raise belongs_to_another_user(process.pid) from None
        if wait_until_gone(process, LEFT_BEHIND_LIMIT_S):
            return


def works_in(process: psutil.Process, cluster: Path, started_at: str) -> bool:
    """Whether this server works on this cluster; the status file's server was started then (epoch).

    Raises StackError for another user's server that was started then: only that user can see its directory.
    """
    try:
        return Path(process.cwd()) == cluster.resolve()
    except psutil.AccessDenied:
        if abs(process.create_time() - float(started_at)) < START_TOLERANCE_S:
            raise belongs_to_another_user(process.pid) from None
        return False
