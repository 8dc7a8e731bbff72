"""The embedded server: real start, stop, crash and leftovers."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from devstack.errors import StackError
from devstack.postgres import run_as
from devstack.postgres.cluster import may_try_again
from devstack.postgres.server import EmbeddedPostgres
from devstack.project import PROJECT
from tests.devstack.other_users import AS_NOBODY, open_up, reachable_by_nobody
from tests.support.database_server import SETTINGS
from tests.support.waiting import wait_until

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def one_value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


@pytest.fixture
def postgres(tmp_path: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(tmp_path / "postgres", SETTINGS)


def test_the_server_is_configured_and_keeps_its_secrets_private(postgres: EmbeddedPostgres) -> None:
    with postgres:
        url = postgres.url()
        collation = (
            "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = current_database()"
        )
        assert one_value(url, collation) == "bC.UTF-8"
        assert one_value(url, "SHOW server_encoding") == "UTF8"
        assert one_value(url, "SHOW timezone") == "UTC"
        assert one_value(url, "SHOW unix_socket_directories") == ""
        assert one_value(url, "SHOW listen_addresses") == "127.0.0.1"
        assert one_value(url, "SELECT current_user || '@' || current_database()") == "millgate@millgate"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace("millgate:", "millgate:not-", 1))
    password = postgres.data_dir / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert password.read_text() not in repr(postgres)
    assert password.read_text() not in postgres.log_path.read_text()


def test_stop_leaves_nothing_and_may_be_repeated(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    server = psutil.Process(postgres.pid)
    family = [server, *server.children(recursive=True)]
    postgres.stop()
    postgres.stop()
    assert [process for process in family if process.is_running()] == []
    assert not (postgres.data_dir / "cluster" / "postmaster.pid").exists()


def test_a_server_killed_with_9_starts_again_with_its_data(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    os.kill(postgres.pid, signal.SIGKILL)
    wait_until(lambda: postgres.exit_code() is not None, what="the server to be dead")
    assert (postgres.data_dir / "cluster" / "postmaster.pid").exists()
    with postgres:
        assert one_value(postgres.url(), "SELECT seven FROM kept") == 7


def test_a_stale_status_file_with_another_programs_pid_is_ignored(
    postgres: EmbeddedPostgres,
) -> None:
    with postgres:
        pass
    cluster = postgres.data_dir / "cluster"
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as other:
        (cluster / "postmaster.pid").write_text(f"{other.pid}\n{cluster}\n1\n1\n\n127.0.0.1\n1 1\nready\n")
        with postgres:
            assert one_value(postgres.url(), "SELECT 1") == 1
        assert other.poll() is None


def test_a_server_that_an_earlier_run_left_running_is_ended_first(tmp_path: Path) -> None:
    left_behind = EmbeddedPostgres(tmp_path / "postgres", SETTINGS)
    left_behind.start()
    with EmbeddedPostgres(tmp_path / "postgres", SETTINGS) as successor:
        wait_until(lambda: left_behind.exit_code() is not None, what="the first server's end")
        assert one_value(successor.url(), "SELECT 1") == 1


def test_a_half_made_cluster_is_made_again(postgres: EmbeddedPostgres) -> None:
    unfinished = postgres.data_dir / "cluster.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with postgres:
        assert one_value(postgres.url(), "SELECT 1") == 1
    assert not unfinished.exists()


def test_a_port_taken_at_the_last_moment_leads_to_another_one(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken, socket.socket() as spare:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        spare.bind(("127.0.0.1", 0))
        ports = [taken.getsockname()[1], spare.getsockname()[1]]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", ports[0]))
        taken.listen()
        choices = iter(ports)
        monkeypatch.setattr("devstack.postgres.server.free_port", lambda: next(choices))
        with postgres:
            assert postgres.port == ports[1]


def test_a_bad_setting_raises_the_servers_message_and_leaves_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", {"max_connections": "lots"})
    with pytest.raises(StackError, match="max_connections"):
        server.start()
    assert server.process is None


def test_a_start_is_retried_only_after_a_taken_port_or_an_ending_predecessor() -> None:
    assert may_try_again(["FATAL:  could not create any TCP/IP sockets"], port_is_free_choice=True)
    assert not may_try_again(["FATAL:  could not create any TCP/IP sockets"], port_is_free_choice=False)
    assert may_try_again(["FATAL:  pre-existing shared memory block (key 1) is still in use"], False)
    assert not may_try_again(["FATAL:  database files are incompatible with server"], True)


def test_a_postgresql_on_the_path_is_never_used(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tmp_path / "bin"
    others.mkdir()
    for name in ("initdb", "postgres", "pg_ctl", "psql"):
        (others / name).write_text("#!/bin/sh\nexit 15\n")
        (others / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{others}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", str(tmp_path))
    with postgres:
        assert one_value(postgres.url(), "SHOW server_version_num") == "180004"


@ROOT_ONLY
def test_root_without_user_namespaces_hands_the_server_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reachable_by_nobody(tmp_path):
        pytest.skip("the project lies where user nobody may not go")
    monkeypatch.setattr(run_as, "namespaces_allowed", lambda: False)
    open_up(tmp_path)
    before = tmp_path.stat()
    with EmbeddedPostgres(tmp_path / "postgres", SETTINGS) as server:
        assert psutil.Process(server.pid).uids().effective == 65534
        assert one_value(server.url(), "SELECT 1") == 1
    assert (tmp_path.stat().st_mode, tmp_path.stat().st_uid) == (before.st_mode, before.st_uid)
    monkeypatch.setattr(run_as, "namespaces_allowed", lambda: True)
    with EmbeddedPostgres(tmp_path / "postgres", SETTINGS) as server:
        assert one_value(server.url(), "SELECT 1") == 1


@ROOT_ONLY
def test_a_folder_unreachable_for_user_nobody_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_as, "namespaces_allowed", lambda: False)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StackError, match=r"cannot reach .* run make as an ordinary user") as caught:
        EmbeddedPostgres(closed / "postgres", SETTINGS).start()
    assert "\n" not in str(caught.value)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    # Nothing was made, so nothing blocks a start as another user.
    assert list(closed.iterdir()) == []
    monkeypatch.setattr(run_as, "namespaces_allowed", lambda: True)
    with EmbeddedPostgres(closed / "postgres", SETTINGS) as server:
        assert one_value(server.url(), "SELECT 1") == 1


@ROOT_ONLY
def test_remains_of_another_users_interrupted_start_are_replaced(postgres: EmbeddedPostgres) -> None:
    postgres.data_dir.mkdir()
    password = postgres.data_dir / "password"
    password.write_text("of another start")
    password.chmod(0o600)
    os.chown(password, 65534, 65534)
    os.chown(postgres.data_dir, 65534, 65534)
    with postgres:
        assert one_value(postgres.url(), "SELECT 1") == 1


def test_a_failed_initdb_leaves_nothing(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.postgres.cluster.OWNER", "pg_not_allowed")
    with pytest.raises(StackError, match="PostgreSQL could not make its files"):
        postgres.start()
    assert not postgres.data_dir.exists()
    monkeypatch.undo()
    with postgres:
        assert one_value(postgres.url(), "SELECT 1") == 1


@ROOT_ONLY
def test_an_ordinary_user_can_run_a_server(tmp_path: Path) -> None:
    if shutil.which("setpriv") is None or not reachable_by_nobody(tmp_path):
        pytest.skip("no setpriv here, or the project lies where user nobody may not go")
    open_up(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    program = (
        "import sys; from pathlib import Path; from devstack.postgres.server import EmbeddedPostgres\n"
        "with EmbeddedPostgres(Path(sys.argv[1]), {'fsync': 'off'}) as server: print(server)"
    )
    result = subprocess.run(
        [*AS_NOBODY, sys.executable, "-c", program, str(home / "postgres")],
        cwd=PROJECT,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("EmbeddedPostgres(")
