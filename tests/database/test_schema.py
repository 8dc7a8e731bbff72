"""The schema: migrating up and down, keys, triggers, and constraints against hand-written SQL."""

# All values in these statements are constants of this file.
# ruff: noqa: S608

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from devstack.checks.generated import SCHEMA, dump_schema
from devstack.postgres.migrated import migrate
from devstack.project import PROJECT
from tests.support.database_server import cloned_database
from tests.support.migrations import MIGRATIONS, dumped, migrate_down

CONSTRAINTS = """
    SELECT c.conname, t.relname, c.contype::text, array(
        SELECT a.attname::text
        FROM unnest(c.conkey) AS k (number)
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number
    )
    FROM pg_constraint AS c JOIN pg_class AS t ON c.conrelid = t.oid
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'schema_migrations'
        AND c.contype IN ('c', 'f', 'p', 'u')
"""
UNIQUE_INDEXES = """
    SELECT i.relname, t.relname
    FROM pg_index AS x JOIN pg_class AS i ON x.indexrelid = i.oid JOIN pg_class AS t ON x.indrelid = t.oid
    WHERE x.indisunique AND t.relnamespace = 'public'::regnamespace AND t.relname <> 'schema_migrations'
        AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.oid)
"""
# A foreign key and a valid, unfiltered index that begins with its columns.
FOREIGN_KEYS = """
    SELECT c.conname, EXISTS (
        SELECT FROM pg_index AS x
        WHERE x.indrelid = c.conrelid AND x.indisvalid AND x.indpred IS NULL
            AND (x.indkey::int2[])[0:cardinality(c.conkey) - 1] = c.conkey
    )
    FROM pg_constraint AS c
    WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace
"""
FIXED = """
    INSERT INTO factories (id, name) VALUES ('00000000-0000-7000-8000-0000000000f1', 'F');
    INSERT INTO gateways (id, factory_id, device_id, name, url, email, sealed_password) VALUES
        ('00000000-0000-7000-8000-0000000000a1', '00000000-0000-7000-8000-0000000000f1',
            'CTC-1', 'G', 'wss://one', 'one@example.com', repeat('x', 40)::bytea),
        ('00000000-0000-7000-8000-0000000000a2', '00000000-0000-7000-8000-0000000000f1',
            'CTC-2', 'G', 'wss://two', 'two@example.com', repeat('x', 40)::bytea);
    INSERT INTO workers (
        id, host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
    ) VALUES (
        '00000000-0000-7000-8000-0000000000e1', 'h', 1, '1', 1, now(), interval '9 s', now() + interval '9 s'
    );
    INSERT INTO gateway_connections (gateway_id) VALUES ('00000000-0000-7000-8000-0000000000a1');
    INSERT INTO api_tokens (name, scope, token_hash) VALUES ('first', 'read', repeat('h', 32)::bytea);
"""
FRESH_GATEWAY = """
    INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)
    SELECT id, 'CTC-new', 'G', 'wss://new', 'new@example.com', repeat('x', 40)::bytea FROM factories
    RETURNING id
"""
GATEWAY = "00000000-0000-7000-8000-0000000000a1"
WORKER = "00000000-0000-7000-8000-0000000000e1"
NOBODY = "00000000-0000-7000-8000-00000000dead"

ORGANIZATION = "UPDATE organizations SET "
FACTORY = "UPDATE factories SET "
GATEWAYS = f"UPDATE gateways SET {{}} WHERE id = '{GATEWAY}'"
CONNECTION = "UPDATE gateway_connections SET "
HELD = CONNECTION + f"worker_id = '{WORKER}', epoch = 1, "
EVENT = (
    "INSERT INTO gateway_events (gateway_id, factory_id, at, from_state, to_state, attempt, reason_code)"
    f" VALUES ('{NOBODY}', '{NOBODY}', now(), {{}})"
)
TOKEN = "INSERT INTO api_tokens (name, scope, token_hash) VALUES ({}, {}, {})"
HASH = "repeat('h', 32)::bytea"
TRIAL = f"""
    INSERT INTO connection_tests (url, email, sealed_password, sealed_for, expires_at, result)
    VALUES ({{}}, '{NOBODY}', now(), {{}})
"""
SEALED = "repeat('x', 40)::bytea"
REFUSED = [
    (TOKEN.format("''", "'read'", HASH), "api_tokens_name_length"),
    (TOKEN.format("'n'", "'admin'", HASH), "api_tokens_scope"),
    (TOKEN.format("'n'", "'read'", "'a plain token'"), "api_tokens_token_hash_length"),
    (TOKEN.format("'first'", "'read'", HASH), "api_tokens_live_name_key"),
    (ORGANIZATION + "name = ''", "organizations_name_length"),
    (ORGANIZATION + "metadata = '[]'", "organizations_metadata_is_object"),
    (FACTORY + f"organization_id = '{NOBODY}'", "factories_organization_id_fkey"),
    (FACTORY + "name = ''", "factories_name_length"),
    (FACTORY + "name = repeat('n', 201)", "factories_name_length"),
    (FACTORY + "location = repeat('l', 501)", "factories_location_length"),
    (FACTORY + "timezone = repeat('t', 101)", "factories_timezone_length"),
    (FACTORY + "metadata = '\"text\"'", "factories_metadata_is_object"),
    (GATEWAYS.format(f"factory_id = '{NOBODY}'"), "gateways_factory_id_fkey"),
    (GATEWAYS.format("device_id = 'CTC-2'"), "gateways_live_device_id_key"),
    (GATEWAYS.format("device_id = repeat('g', 101)"), "gateways_device_id_length"),
    (GATEWAYS.format("name = repeat('n', 201)"), "gateways_name_length"),
    (GATEWAYS.format("model = ''"), "gateways_model_length"),
    (GATEWAYS.format("firmware_version = repeat('f', 101)"), "gateways_firmware_version_length"),
    (GATEWAYS.format("url = 'https://one'"), "gateways_url_scheme"),
    (GATEWAYS.format("url = 'wss://' || repeat('u', 1995)"), "gateways_url_length"),
    (GATEWAYS.format("email = repeat('e', 321)"), "gateways_email_length"),
    (GATEWAYS.format("sealed_password = 'a plain password'"), "gateways_sealed_password_length"),
    (GATEWAYS.format("desired_state = 'maybe'"), "gateways_desired_state"),
    (GATEWAYS.format("generation = -1"), "gateways_generation_positive"),
    (GATEWAYS.format("metadata = '3'"), "gateways_metadata_is_object"),
    ("UPDATE workers SET host = ''", "workers_host_length"),
    ("UPDATE workers SET lease_duration = interval '0'", "workers_lease_duration_positive"),
    ("UPDATE workers SET gateways_held = -1", "workers_gateways_held_not_negative"),
    ("UPDATE workers SET gateway_capacity = -1", "workers_gateway_capacity_not_negative"),
    (
        """
        INSERT INTO workers (
            epoch, host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
        )
        SELECT epoch, 'h', 1, '1', 1, now(), interval '9 s', now() FROM workers
        """,
        "workers_epoch_key",
    ),
    (
        f"INSERT INTO gateway_connections (gateway_id) VALUES ('{NOBODY}')",
        "gateway_connections_gateway_id_fkey",
    ),
    (CONNECTION + f"worker_id = '{NOBODY}', epoch = 1", "gateway_connections_worker_id_epoch_fkey"),
    (CONNECTION + f"worker_id = '{WORKER}', epoch = 0", "gateway_connections_worker_id_epoch_fkey"),
    (CONNECTION + f"worker_id = '{WORKER}', epoch = 1, state = 'up'", "gateway_connections_state"),
    (CONNECTION + f"worker_id = '{WORKER}'", "gateway_connections_holder_is_whole"),
    (CONNECTION + "epoch = 1", "gateway_connections_holder_is_whole"),
    (CONNECTION + "state = 'retrying'", "gateway_connections_unheld_is_disconnected"),
    (
        CONNECTION + f"worker_id = '{WORKER}', epoch = 1, state = 'connected'",
        "gateway_connections_connected_has_since",
    ),
    (CONNECTION + "connected_since = now()", "gateway_connections_connected_has_since"),
    (CONNECTION + "reason_code = 'queued'", "gateway_connections_reason_is_whole"),
    (CONNECTION + "attempt = -1", "gateway_connections_attempt_not_negative"),
    (CONNECTION + "connects = -1", "gateway_connections_connects_not_negative"),
    (CONNECTION + "messages_received = -1", "gateway_connections_messages_received_not_negative"),
    (CONNECTION + "rejected_logins = -1", "gateway_connections_rejected_logins_not_negative"),
    *(
        (HELD + f"state = '{state}', {times}", "gateway_connections_waiting_has_next_attempt")
        for state, times in (
            ("retrying", "next_attempt_at = NULL"),
            ("auth_failed", "next_attempt_at = NULL"),
            ("connecting", "next_attempt_at = now()"),
            ("connected", "next_attempt_at = now(), connected_since = now()"),
        )
    ),
    (EVENT.format("'disconnected', 'unknown', 0, NULL"), "gateway_events_gateway_id_fkey"),
    (EVENT.format("'queued', 'connecting', 0, NULL"), "gateway_events_from_state"),
    (EVENT.format("'unknown', '', 0, NULL"), "gateway_events_to_state"),
    (EVENT.format("'disconnected', 'connecting', -1, NULL"), "gateway_events_attempt_not_negative"),
    (EVENT.format("'disconnected', 'connecting', 0, 'requested'"), "gateway_events_reason_is_whole"),
    (GATEWAYS.format("deleted_with_factory = TRUE"), "gateways_deleted_with_factory_is_deleted"),
    (
        f"INSERT INTO desired_state_changes (gateway_id, at, is_wanted) VALUES ('{NOBODY}', now(), TRUE)",
        "desired_state_changes_gateway_id_fkey",
    ),
    (TRIAL.format(f"'http://one', 'one@example.com', {SEALED}", "NULL"), "connection_tests_url_scheme"),
    (
        TRIAL.format(f"'ws://' || repeat('u', 1996), 'one@example.com', {SEALED}", "NULL"),
        "connection_tests_url_length",
    ),
    (TRIAL.format(f"'ws://one', '', {SEALED}", "NULL"), "connection_tests_email_length"),
    (TRIAL.format("'ws://one', 'one@example.com', ''", "NULL"), "connection_tests_password_until_result"),
    (
        TRIAL.format(f"'ws://one', 'one@example.com', {SEALED}", "'{}'"),
        "connection_tests_password_until_result",
    ),
    ("UPDATE event_pruning SET is_only_row = FALSE", "event_pruning_is_only_row"),
    (
        "INSERT INTO database_identity (is_only_row, identity) VALUES (FALSE, 'x')",
        "database_identity_is_only_row",
    ),
    (
        "INSERT INTO encryption_key_checks (key_id, sealed) VALUES ('KEY', 'x')",
        "encryption_key_checks_key_id",
    ),
]
RAISING = {
    "url": "'ws://other'",
    "email": "'other@example.com'",
    "sealed_password": "repeat('y', 40)::bytea",
    "desired_state": "'disconnected'",
    "deleted_at": "now()",
}
NOT_RAISING = {
    "name": "'other'",
    "metadata": "'{\"a\": 1}'",
    "model": "'other'",
    "firmware_version": "'2'",
    "device_id": "'CTC-9'",
    # Written unchanged.
    "url": "url",
}


@pytest.fixture(scope="module")
def filled_url(server_admin: psycopg.Connection, server_url: str) -> Iterator[str]:
    """Yield a database with a few rows for tests that roll back."""
    with cloned_database(server_admin, server_url) as url:
        with psycopg.connect(url) as connection:
            connection.execute(FIXED)
        yield url


@pytest.fixture(scope="module")
def notifying_url(server_admin: psycopg.Connection, server_url: str) -> Iterator[str]:
    """Yield a database with a few rows for tests that commit."""
    with cloned_database(server_admin, server_url) as url:
        with psycopg.connect(url) as connection:
            connection.execute(FIXED)
        yield url


@pytest.fixture
def filled(filled_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection in a transaction that is rolled back."""
    with psycopg.connect(filled_url) as connection:
        yield connection
        connection.rollback()


def objects_in(database_url: str) -> list[str]:
    """Return every relation and function of the schema except dbmate's own table."""
    query = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'schema_migrations%'
        UNION ALL
        SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """
    with psycopg.connect(database_url) as connection:
        return [name for (name,) in connection.execute(query)]


@pytest.mark.req("DB-02")
def test_up_down_and_up_again_leave_the_same_schema(database_url: str) -> None:
    before = dumped(database_url)
    assert "CREATE TABLE public.gateways" in before
    for _ in MIGRATIONS.glob("*.sql"):
        migrate_down(database_url)
    assert objects_in(database_url) == []
    migrate(database_url)
    assert dumped(database_url) == before


@pytest.mark.req("DB-02")
def test_the_committed_schema_is_what_dbmate_dumps(database_url: str, tmp_path: Path) -> None:
    assert (PROJECT / SCHEMA).read_text() == dump_schema(database_url)


@pytest.mark.req("DB-03")
@pytest.mark.parametrize("table", ["organizations", "factories", "gateways"])
def test_a_table_of_the_api_has_the_common_columns(filled: psycopg.Connection, table: str) -> None:
    query = """
        SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns
        WHERE table_name = %s AND column_name IN ('id', 'metadata', 'created_at', 'updated_at', 'deleted_at')
    """
    assert set(filled.execute(query, [table])) == {
        ("id", "uuid", "NO", "uuidv7()"),
        ("metadata", "jsonb", "NO", "'{}'::jsonb"),
        ("created_at", "timestamp with time zone", "NO", "now()"),
        ("updated_at", "timestamp with time zone", "NO", "now()"),
        ("deleted_at", "timestamp with time zone", "YES", None),
    }


@pytest.mark.req("DB-03")
@pytest.mark.parametrize("table", ["organizations", "factories", "workers"])
def test_ids_sort_by_time(filled: psycopg.Connection, table: str) -> None:
    values = {
        "organizations": "(name) VALUES ('n')",
        "factories": "(name) VALUES ('n')",
        "workers": (
            "(host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at)"
            " VALUES ('h', 1, '1', 1, now(), interval '9 s', now())"
        ),
    }
    insert = sql.SQL(f"INSERT INTO {{}} {values[table]} RETURNING id, clock_timestamp()").format(
        sql.Identifier(table)
    )
    made = [filled.execute(insert).fetchone() for _ in range(50)]
    ids = [row[0] for row in made if row is not None]
    assert len(ids) == 50
    assert ids == sorted(ids)
    assert made[0] is not None
    seen = filled.execute("SELECT uuid_extract_timestamp(%s)", [ids[0]]).fetchone()
    assert seen is not None
    assert abs(seen[0] - made[0][1]) < timedelta(seconds=1)


@pytest.mark.req("DB-03")
def test_updated_at_is_maintained_for_every_update(filled: psycopg.Connection) -> None:
    kept = filled.execute(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'updated_at'"
        " AND table_schema = 'public'"
    ).fetchall()
    assert {name for (name,) in kept} == {"organizations", "factories", "gateways"}
    for (name,) in kept:
        table = sql.Identifier(name)
        updated = filled.execute(
            sql.SQL("UPDATE {} SET updated_at = '2001-01-01' RETURNING updated_at = now()").format(table)
        ).fetchall()
        assert updated
        assert all(row == (True,) for row in updated)


@pytest.mark.req("DB-04")
def test_every_foreign_key_has_an_index(filled: psycopg.Connection) -> None:
    found: dict[str, bool] = dict(filled.execute(FOREIGN_KEYS).fetchall())
    assert len(found) >= 5
    assert [name for name, has_index in found.items() if not has_index] == []


@pytest.mark.req("DB-05")
def test_every_constraint_name_has_table_column_and_purpose(filled: psycopg.Connection) -> None:
    constraints = filled.execute(CONSTRAINTS).fetchall()
    assert len(constraints) >= 30
    for name, table, kind, columns in constraints:
        start = f"{table}_{columns[0]}" if kind != "p" and len(columns) == 1 else f"{table}_"
        assert name.startswith(start), name
        # PostgreSQL's default names of constraints.
        assert not name.endswith(("_check", "_check1", "_fkey1", "_key1")), name


@pytest.mark.req("DB-05")
def test_every_constraint_is_tested(filled: psycopg.Connection) -> None:
    """A new constraint needs a line in REFUSED."""
    constraints = {name for name, _, kind, _ in filled.execute(CONSTRAINTS) if kind != "p"}
    unique = {name for name, _ in filled.execute(UNIQUE_INDEXES)}
    assert unique == {"api_tokens_live_name_key", "gateways_live_device_id_key"}
    # It rejects nothing that the primary key allows: the foreign key of connections needs it.
    assert {name for _, name in REFUSED} == (constraints | unique) - {"workers_id_epoch_key"}


@pytest.mark.req("DB-05")
@pytest.mark.parametrize(
    ("statement", "constraint"), REFUSED, ids=[f"{name}-{n}" for n, (_, name) in enumerate(REFUSED)]
)
def test_hand_written_sql_is_rejected(filled: psycopg.Connection, statement: str, constraint: str) -> None:
    with pytest.raises(psycopg.IntegrityError) as refused:
        filled.execute(statement.encode())
    assert refused.value.diag.constraint_name == constraint


@pytest.mark.req("DB-05")
def test_a_deleted_registration_frees_its_identifier(filled: psycopg.Connection) -> None:
    filled.execute("UPDATE gateways SET deleted_at = now() WHERE device_id = 'CTC-2'")
    filled.execute(GATEWAYS.format("device_id = 'CTC-2'").encode())
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        filled.execute("UPDATE gateways SET deleted_at = NULL")
    assert refused.value.diag.constraint_name == "gateways_live_device_id_key"


@pytest.mark.req("DB-05")
def test_gateways_have_one_trigger_for_each_event_and_purpose(filled: psycopg.Connection) -> None:
    triggers = filled.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'gateways'::regclass AND NOT tgisinternal ORDER BY 1"
    ).fetchall()
    assert [name for (name,) in triggers] == [
        "gateways_bump_versions",
        "gateways_count_changed",
        "gateways_count_created",
        "gateways_count_removed",
        "gateways_notify_changed",
        "gateways_record_desired_state",
        "gateways_refuse_retired_key",
        "gateways_reset_counts",
    ]


@pytest.mark.parametrize("column", ["name", "url", "connect_requested_at"])
def test_every_update_is_written_by_its_transaction(database_url: str, column: str) -> None:
    """Also an update of other columns, which workers would miss otherwise."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(FIXED)
        value = "now()" if column == "connect_requested_at" else "'ws://other'"
        row = connection.execute(
            f"UPDATE gateways SET {column} = {value} WHERE id = '{GATEWAY}'"
            " RETURNING modified_xid = pg_current_xact_id(), old.modified_xid <> new.modified_xid".encode()
        ).fetchone()
    assert row == (True, True)


@pytest.mark.req("DB-05")
@pytest.mark.parametrize(
    ("column", "value", "rise"),
    [
        *[(column, value, 1) for column, value in RAISING.items()],
        *[(column, value, 0) for column, value in NOT_RAISING.items()],
        ("connect_requested_at", "clock_timestamp()", 0),
    ],
)
def test_generation_rises_when_connection_settings_change(
    filled: psycopg.Connection, column: str, value: str, rise: int
) -> None:
    change = GATEWAYS.format(f"{column} = {value}")
    row = filled.execute(f"{change} RETURNING generation".encode()).fetchone()
    assert row == (1 + rise,)


@pytest.mark.req("DB-05")
@pytest.mark.parametrize(
    ("column", "value", "is_notified"),
    [
        *[(column, value, True) for column, value in RAISING.items()],
        *[(column, value, False) for column, value in NOT_RAISING.items()],
        ("connect_requested_at", "clock_timestamp()", True),
    ],
)
def test_workers_are_notified_of_relevant_changes(
    notifying_url: str, column: str, value: str, is_notified: bool
) -> None:
    with (
        psycopg.connect(notifying_url, autocommit=True) as listener,
        psycopg.connect(notifying_url, autocommit=True) as writer,
    ):
        listener.execute("LISTEN gateways_changed")
        created = writer.execute(FRESH_GATEWAY).fetchone()
        assert created is not None
        gateway = str(created[0])
        assert notifications_until_now(listener, writer) == [""]
        change = f"UPDATE gateways SET {column} = {value} WHERE id = '{gateway}'"
        writer.execute(change.encode())
        assert notifications_until_now(listener, writer) == ([""] if is_notified else [])
        writer.execute("DELETE FROM gateways WHERE id = %s", [gateway])


def test_a_session_that_defers_notify_does_not_notify_workers(notifying_url: str) -> None:
    with (
        psycopg.connect(notifying_url, autocommit=True) as listener,
        psycopg.connect(notifying_url, autocommit=True, options="-c millgate.defer_notify=on") as writer,
    ):
        listener.execute("LISTEN gateways_changed")
        created = writer.execute(FRESH_GATEWAY).fetchone()
        writer.execute("UPDATE gateways SET connect_requested_at = now() WHERE id = %s", created)
        assert notifications_until_now(listener, writer) == []
        writer.execute("SET millgate.defer_notify = off")
        writer.execute("UPDATE gateways SET connect_requested_at = clock_timestamp() WHERE id = %s", created)
        assert notifications_until_now(listener, writer) == [""]
        writer.execute("DELETE FROM gateways WHERE id = %s", created)


def notifications_until_now(listener: psycopg.Connection, writer: psycopg.Connection) -> list[str]:
    """Return the notifications before a marker that the writer sends now."""
    writer.execute("SELECT pg_notify('gateways_changed', 'mark')")
    received: list[str] = []
    for notice in listener.notifies(timeout=10):
        if notice.payload == "mark":
            return received
        received.append(notice.payload)
    raise AssertionError("the marker never came")
