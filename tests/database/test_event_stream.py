"""The event stream after a restore to a server with other transaction ids."""

import subprocess
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from devstack.postgres.binaries import program
from service.database.engine.pool import ConnectionExecutor
from service.database.views.event_stream import EventStreamRepository, StreamPlace, StreamPosition
from service.errors import EventCursorExpiredError
from tests.support.database_server import with_database
from tests.support.waiting import wait_until

LIMIT_S = 60.0
FILL = """
    INSERT INTO factories (name) VALUES ('F');
    INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)
    SELECT id, 'CTC-1', 'G', 'ws://x', 'a@b', repeat('x', 60)::bytea FROM factories;
"""
HAPPEN = """
    INSERT INTO gateway_events (
        gateway_id, at, from_state, to_state, attempt, reason_code, reason_message, reason_phase
    )
    SELECT id, now(), 'connected', 'retrying', 1, 'connection_lost', %s, 'session' FROM gateways
"""


@pytest.fixture
def restored_url(server_admin: psycopg.Connection, server_url: str) -> Iterator[str]:
    """Yield the URL of an empty database to restore into."""
    name = f"test_{uuid.uuid4().hex}"
    server_admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield with_database(server_url, name)
    finally:
        server_admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def read(connection: psycopg.Connection, after: StreamPosition) -> list[str | None]:
    """Return the reasons' messages of the events after a position."""
    stream = EventStreamRepository(ConnectionExecutor(connection))
    part = stream.read(StreamPlace(stream.find_stream(), after), None, 100)
    return [event.reason_message for event in part.events]


def test_restored_events_keep_their_order_and_precede_new_ones(database_url: str, restored_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(FILL.encode())
        for message in ("first", "second", "third"):
            connection.execute(HAPPEN, [message])
        numbers = connection.execute("SELECT min(modified_xid)::text FROM gateway_events").fetchone()
    dumped = subprocess.run(
        [str(program("pg_dump")), "--dbname", database_url], capture_output=True, check=True
    ).stdout
    assert b"modified_xid" in dumped
    subprocess.run(
        [str(program("psql")), "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", restored_url],
        input=dumped,
        capture_output=True,
        check=True,
    )
    with psycopg.connect(restored_url, autocommit=True) as connection:
        written = connection.execute("SELECT DISTINCT modified_xid::text FROM gateway_events").fetchall()
        assert len(written) == 1, "by the transaction that restored them"
        assert written[0] != numbers
        stream = EventStreamRepository(ConnectionExecutor(connection))
        beginning = StreamPosition(0, 0)
        wait_until(lambda: len(read(connection, beginning)) == 3, LIMIT_S, "all events to be in the stream")
        assert read(connection, beginning) == ["first", "second", "third"]
        newest = stream.find_newest()
        connection.execute(HAPPEN, ["fourth"])
        wait_until(lambda: read(connection, newest) == ["fourth"], LIMIT_S, "the new event")
        with pytest.raises(EventCursorExpiredError):
            stream.read(StreamPlace("another", newest), None, 100)


def test_a_role_without_privileges_may_name_the_stream(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        for function in ("pg_control_system()", "pg_walfile_name(pg_lsn)", "pg_current_wal_insert_lsn()"):
            row = connection.execute("SELECT has_function_privilege('public', %s, 'EXECUTE')", [function])
            assert row.fetchone() == (True,), function
