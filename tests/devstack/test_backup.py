"""`make backup` and `make restore`: what they keep, what they refuse, and which keys they ask for."""

import base64
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from devstack.backup.clients import Client
from devstack.errors import StackError
from devstack.project import PROJECT
from devstack.run.stack import is_held
from service.crypto import Sealer, Secret
from service.database.security.key_checks import check_key
from tests.support.database_server import cloned_database
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.support.worker_settings import KEY, PASSWORD

OTHER_KEY = base64.b64encode(b"other key".ljust(32)).decode()
LIMIT_S = 60
KEY_ID, OTHER_KEY_ID = (Sealer(Secret(key)).key_id for key in (KEY, OTHER_KEY))
TABLES = (
    "factories",
    "gateways",
    "gateway_connections",
    "gateway_events",
    "gateway_counts",
    "encryption_key_checks",
)


def run(
    what: str, file: Path, url: str, key: str = KEY, old_keys: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command, as make runs it."""
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "ENCRYPTION_KEY": key}
    done = subprocess.run(
        [sys.executable, "-m", "devstack.backup", what, str(file)],
        cwd=PROJECT,
        env={**environment, "ENCRYPTION_KEYS_OLD": old_keys},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    for secret in (key, OTHER_KEY, PASSWORD, psycopg.conninfo.conninfo_to_dict(url)["password"]):
        assert str(secret) not in done.stdout + done.stderr
    return done


def rows(url: str) -> dict[str, list[Any]]:
    """What is in a database."""
    with psycopg.connect(url) as connection:
        # By which transaction a row was written is computed anew.
        query = sql.SQL("SELECT to_jsonb(t) - 'modified_xid' FROM {} AS t ORDER BY 1")
        return {table: connection.execute(query.format(sql.Identifier(table))).fetchall() for table in TABLES}


def is_empty(url: str) -> bool:
    """Whether nothing is in a database."""
    with psycopg.connect(url) as connection:
        found = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        return connection.execute(found).fetchone() == (0,)


@pytest.fixture
def empty_url(server_admin: psycopg.Connection, server_url: str) -> Iterator[str]:
    """An empty database."""
    with cloned_database(server_admin, server_url, "template0") as url:
        yield url


@pytest.fixture
def filled_url(database_url: str) -> str:
    """A database with gateways that a worker holds."""
    with WorkerTestBed(database_url) as testbed:
        testbed.add_all([("AP-1", "ws://127.0.0.1:9"), ("AP-2", "ws://127.0.0.1:9")])
        worker = ThreadedWorker(database_url, {})
        try:
            held = "SELECT FROM gateway_connections WHERE state = 'retrying'"
            wait_until(lambda: len(testbed.rows(held)) == 2, 10, "the worker to try both")
        finally:
            worker.stop()
    return database_url


@pytest.mark.req("CRYPTO-03", "DB-01")
def test_a_backup_names_its_key_and_its_restored_copy_is_the_same_and_held(
    filled_url: str, empty_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "millgate.dump"
    done = run("make", file, filled_url)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert f"Key {KEY_ID} (2 passwords): is ENCRYPTION_KEY." in done.stdout
    assert "Complete" in done.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    done = run("restore", file, empty_url)
    assert done.returncode == 0, done.stderr
    assert "make take-over" in done.stdout
    assert rows(empty_url) == rows(filled_url)
    assert (is_held(filled_url), is_held(empty_url)) == (False, True)


@pytest.mark.req("CRYPTO-03")
def test_a_backup_whose_key_is_missing_does_not_call_itself_complete(
    filled_url: str, empty_url: str, tmp_path: Path
) -> None:
    file, incomplete = tmp_path / "millgate.dump", tmp_path / "millgate.dump.incomplete"
    done = run("make", file, filled_url, OTHER_KEY)
    assert done.returncode == 1
    assert f"Key {KEY_ID} (2 passwords): MISSING" in done.stdout
    assert "NOT COMPLETE" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [incomplete.name]
    done = run("restore", incomplete, empty_url, OTHER_KEY)
    assert (done.returncode, "Nothing was restored" in done.stderr) == (1, True)
    assert is_empty(empty_url)
    assert (
        run("check", incomplete, "postgresql://x:unused-password@127.0.0.1:1/nothing", OTHER_KEY).returncode
        == 1
    )
    done = run("check", incomplete, "postgresql://x:unused-password@127.0.0.1:1/nothing", OTHER_KEY, KEY)
    assert f"Key {KEY_ID} (2 passwords): is in ENCRYPTION_KEYS_OLD." in done.stdout
    assert done.returncode == 0
    assert run("restore", incomplete, empty_url, OTHER_KEY, KEY).returncode == 0
    assert rows(empty_url) == rows(filled_url)


@pytest.mark.req("CRYPTO-03")
def test_in_the_middle_of_a_change_of_keys_both_are_needed(filled_url: str, tmp_path: Path) -> None:
    with WorkerTestBed(filled_url) as testbed:
        testbed.sealer = Sealer(Secret(OTHER_KEY), [Secret(KEY)])
        with testbed.database.transaction() as transaction:
            check_key(transaction, testbed.sealer, will_seal=True)
        testbed.add("AP-3", "ws://127.0.0.1:9")
    for key, old_keys, missing in (
        (OTHER_KEY, "", {KEY_ID}),
        (KEY, "", {OTHER_KEY_ID}),
        (OTHER_KEY, KEY, set[str]()),
    ):
        file = tmp_path / f"{len(missing)}{key[:4]}"
        done = run("make", file, filled_url, key, old_keys)
        lines = [line for line in done.stdout.splitlines() if line.startswith("Key ")]
        assert {line.split()[1] for line in lines} == {KEY_ID, OTHER_KEY_ID}
        assert {line.split()[1] for line in lines if "MISSING" in line} == missing
        assert (done.returncode == 0, file.exists()) == (not missing, not missing)


def test_what_cannot_be_restored_is_one_line_and_touches_nothing(
    filled_url: str, empty_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "millgate.dump"
    assert run("make", file, filled_url).returncode == 0
    before = rows(filled_url)
    bad = tmp_path / "bad"
    bad.write_bytes(file.read_bytes()[:3000])
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('29991231000000')")
    newer = tmp_path / "newer"
    assert run("make", newer, filled_url).returncode == 0
    for what, name, url, words in (
        ("restore", file, filled_url, "not empty"),
        ("restore", bad, empty_url, "cannot be read as a backup"),
        ("restore", tmp_path / "absent", empty_url, "cannot be read as a backup"),
        ("restore", newer, empty_url, "of a newer version"),
        ("make", file, filled_url, "exists already"),
    ):
        done = run(what, name, url)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    assert is_empty(empty_url)
    assert rows(filled_url) == before


def test_a_restore_that_fails_leaves_nothing(filled_url: str, empty_url: str, tmp_path: Path) -> None:
    file = tmp_path / "millgate.dump"
    assert run("make", file, filled_url).returncode == 0
    with psycopg.connect(empty_url, autocommit=True) as connection:
        # Not a relation, but in the way of one.
        connection.execute("CREATE FUNCTION bump_version() RETURNS int LANGUAGE sql RETURN 1")
        assert run("restore", file, empty_url).returncode == 1
        connection.execute("DROP FUNCTION bump_version()")
    assert is_empty(empty_url)


def test_a_server_with_tls_needs_programs_that_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server has no TLS, nor have its programs; so this one connection is not real."""
    connection: Any = SimpleNamespace(
        info=SimpleNamespace(server_version=180004, password="secret"),
        pgconn=SimpleNamespace(ssl_in_use=True),
    )
    monkeypatch.setattr("devstack.backup.clients.DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    client = Client(connection, "postgresql://u:secret@h/d?sslmode=require", {})
    for version in ("15.18", "18.1"):
        pg_dump = tmp_path / "pg_dump"
        pg_dump.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) {version}"'
            f' || echo "$@" > {tmp_path}/said\n'
        )
        pg_dump.chmod(0o755)
        if version == "15.18":
            with pytest.raises(StackError, match="postgresql-client-18"):
                client.run("pg_dump", [])
    client.run("pg_dump", [])
    said = (tmp_path / "said").read_text()
    assert "sslmode=require" in said
    assert "secret" not in said
