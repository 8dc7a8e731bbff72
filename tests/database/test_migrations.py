"""Migrations since the last release on a database in use: their changes, and how long they block others."""

# All values in these statements are constants of this file.
# ruff: noqa: S608

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from devstack.commands import MIGRATE, local
from devstack.postgres.migrated import migrate
from devstack.project import PROJECT
from service.database.views.event_stream import FIND_BETWEEN
from tests.support.migrations import migrate_down
from tests.support.waiting import wait_until
from tests.upgrade.releases import RELEASES, empty_database_of, migrations_of

FOLDER = Path("db/migrations")
RELEASED = migrations_of(RELEASES[-1])
NEWER = sorted(
    path for path in (PROJECT / FOLDER).glob("*.sql") if path.name.partition("_")[0] not in RELEASED
)
BUSY = ("factories", "gateways", "gateway_connections", "gateway_events", "workers")
RENAMED = {"gateway_wishes": "desired_state_changes"}
"""New names of tables since the release."""
ROWS = """
    INSERT INTO organizations (id, name)
    VALUES ('00000000-0000-7000-8000-000000000001', 'Default organization') ON CONFLICT DO NOTHING;
    INSERT INTO factories (name) VALUES ('Here'), ('There');
    INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)
    SELECT id, 'CTC-' || name, 'G', 'wss://g', 'a@b', repeat('x', 40)::bytea FROM factories;
    INSERT INTO gateway_connections (gateway_id) SELECT id FROM gateways;
    INSERT INTO gateway_events (gateway_id, at, from_state, to_state, attempt)
    SELECT id, now(), 'connecting', 'connected', 1 FROM gateways;
    INSERT INTO workers (
        host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
    ) VALUES ('h', 1, '0.1.0', 1, now(), interval '9 s', now());
"""
ROWS_OF_RELEASE = ROWS.replace("device_id", "gateway_id")
WORDS = "'login_rejected', 'The gateway rejected the login: no: canary.', 'login'"
REFUSE = f"""
    UPDATE gateway_connections SET (reason_code, reason_message, reason_phase) = ROW({WORDS}),
        reason_retryable = FALSE, reason_at = now()
"""
RECORD_REFUSALS = f"""
    INSERT INTO gateway_events (
        gateway_id, at, from_state, to_state, attempt, reason_code, reason_message, reason_phase
    )
    SELECT id, now(), 'authenticating', 'retrying', 1, {WORDS} FROM gateways CROSS JOIN generate_series(1, %s)
"""
COUNT_TOLD = "SELECT count(*) FROM gateway_events WHERE reason_message LIKE '%canary%'"


@pytest.fixture
def released_url(server_admin: psycopg.Connection, server_url: str, tmp_path: Path) -> Iterator[str]:
    """Yield a database of the last release with a few rows; make a migrations folder in `tmp_path`."""
    (tmp_path / FOLDER).mkdir(parents=True)
    with empty_database_of(RELEASES[-1], server_admin, server_url) as url:
        with psycopg.connect(url) as connection:
            connection.execute(ROWS_OF_RELEASE)
        yield url


@pytest.fixture
def released(released_url: str) -> Iterator[psycopg.Connection]:
    """Open a connection to it on autocommit."""
    with psycopg.connect(released_url, autocommit=True, options="-c statement_timeout=20s") as connection:
        yield connection


def busy_tables(connection: psycopg.Connection) -> list[str]:
    """Return the busy tables by their current names."""
    row = connection.execute("SELECT ARRAY(SELECT relname FROM pg_class WHERE relkind = 'r')").fetchone()
    assert row is not None
    return [table if table in row[0] else RENAMED[table] for table in BUSY]


def places(connection: psycopg.Connection) -> list[list[str]]:
    """Return the storage file and position of each row of the busy tables."""
    query = "SELECT pg_relation_filenode('{0}') || ctid::text FROM {0} ORDER BY ctid"
    return [
        [place for (place,) in connection.execute(query.format(table).encode())]
        for table in busy_tables(connection)
    ]


@pytest.mark.req("DB-02")
def test_unchanged_rows_are_not_rewritten(released: psycopg.Connection, released_url: str) -> None:
    """Rewriting would lock the whole table meanwhile."""
    before = places(released)
    assert all(before)
    migrate(released_url)
    assert places(released) == before


@pytest.mark.req("DB-02")
def test_no_migration_waits_long_for_a_table_lock(released_url: str, tmp_path: Path) -> None:
    """While a migration waits for a dump that reads the table, all other clients queue after it."""
    for path in NEWER:
        shutil.copy(path, tmp_path / FOLDER)
        with psycopg.connect(released_url) as dump:
            dump.execute(f"LOCK TABLE {', '.join(busy_tables(dump))} IN ACCESS SHARE MODE".encode())
            ran = subprocess.run(
                local(MIGRATE),
                cwd=tmp_path,
                env={"DATABASE_URL": released_url},
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        assert ran.returncode == 0 or "lock timeout" in ran.stderr, f"{path.name}: {ran.stderr}"
        migrate(released_url, tmp_path)


@pytest.mark.req("DB-02")
def test_old_events_get_the_factory_of_their_gateway(released: psycopg.Connection, released_url: str) -> None:
    before = released.execute("SELECT id, written_by::text FROM gateway_events ORDER BY id").fetchall()
    migrate(released_url)
    after = released.execute("SELECT id, modified_xid::text FROM gateway_events ORDER BY id").fetchall()
    assert after == before
    cursor = {
        "modified_xid": "0",
        "id": 0,
        "last_modified_xid": before[-1][1],
        "last_id": before[-1][0],
        "limit": 9,
    }
    for gateway, factory in released.execute("SELECT id, factory_id FROM gateways").fetchall():
        found = released.execute(FIND_BETWEEN.sql, {**cursor, "factory_id": factory}).fetchall()
        assert [(row[1], row[12]) for row in found] == [(gateway, factory)]


@pytest.mark.req("DB-02", "GATEWAY-07")
def test_rejection_texts_of_gateways_are_removed_while_the_database_is_in_use(
    released: psycopg.Connection, released_url: str, tmp_path: Path
) -> None:
    for path in NEWER:
        if path.name < "20261125000401":
            shutil.copy(path, tmp_path / FOLDER)
    released.execute(REFUSE.encode())
    released.execute(RECORD_REFUSALS.encode(), [10_000])
    migrate(released_url, tmp_path)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(released_url) as busy:
        busy.execute("SELECT FROM gateway_events ORDER BY id DESC LIMIT 1 FOR UPDATE")
        migrating = pool.submit(migrate, released_url)
        # It has committed its batches and waits for the last row.
        wait_until(
            lambda: released.execute(COUNT_TOLD).fetchone() != (20_000,), 30, "the first to be removed"
        )
        busy.rollback()
        migrating.result()
    # A worker of the release may still run.
    released.execute(RECORD_REFUSALS.encode(), [1])
    for table in ("gateway_events", "gateway_connections"):
        found = released.execute(
            f"SELECT DISTINCT reason_message FROM {table} WHERE reason_message IS NOT NULL".encode()
        ).fetchall()
        assert found == [("The gateway rejected the login.",)]


@pytest.mark.req("DB-02", "GATEWAY-07")
def test_texts_that_a_current_worker_writes_are_kept(database_url: str) -> None:
    shown = "The gateway rejected the login: Password: …."
    with psycopg.connect(database_url) as connection:
        connection.execute(ROWS)
        connection.execute(
            """
            INSERT INTO gateway_events (
                gateway_id, factory_id, at, from_state, to_state, attempt,
                reason_code, reason_message, reason_phase
            )
            SELECT id, factory_id, now(), 'authenticating', 'retrying', 1, 'login_rejected', %s, 'login'
            FROM gateways
            """,
            [shown],
        )
        found = connection.execute(
            "SELECT DISTINCT reason_message FROM gateway_events WHERE reason_code = 'login_rejected'"
        ).fetchall()
    assert found == [(shown,)]


@pytest.mark.req("DB-02", "GATEWAY-07")
def test_an_older_version_sends_no_confined_password_anywhere(database_url: str) -> None:
    """It does not know the password's allowed targets, so it leaves such a gateway to a newer version."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(ROWS)
        connection.execute("UPDATE gateways SET password_is_confined = TRUE WHERE device_id = 'CTC-There'")
        connection.execute(
            """
            INSERT INTO connection_tests (
                url, email, sealed_password, sealed_for, password_is_confined, expires_at
            )
            SELECT 'wss://g', 'a@b', repeat('x', 40)::bytea, uuidv7(), is_confined, now()
            FROM (VALUES (FALSE), (TRUE)) AS trial (is_confined)
            """
        )
        for path in NEWER:
            if path.name >= "20261125000400":
                migrate_down(database_url)
        wanted = connection.execute("SELECT gateway_id, desired_state FROM gateways ORDER BY 1").fetchall()
        assert wanted == [("CTC-Here", "connected"), ("CTC-There", "disconnected")]
        assert connection.execute("SELECT count(*) FROM gateway_trials").fetchone() == (1,)
