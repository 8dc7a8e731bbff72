"""At 100,000 gateways the important queries are answered from their indexes: PostgreSQL's plans say so."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest

from service.database import connections, factories, gateways, statuses
from service.database.query import Command, Query
from tests.database_server import cloned_database

GATEWAYS = 100_000
FACTORIES = 200
HELD = 95_000
HELD_BY_A_WORKER = 5_000
FACTORY = UUID("00000000-0000-7000-8000-f00000000007")
GATEWAY = UUID("00000000-0000-7000-8000-a00000000777")
WORKER = UUID("00000000-0000-7000-8000-e00000000003")
SMALL_WORKER = UUID("00000000-0000-7000-8000-e00000000099")
GATEWAY_IDS = [UUID(int=GATEWAY.int + number) for number in range(0, 5_000, 100)]

# Without triggers and checks of foreign keys, which would double the time that this takes. The dead and the
# unwanted are few; the last 5,000 gateways wait for a worker, and have no connection yet.
FILL = f"""
    SET session_replication_role = replica;
    INSERT INTO factories (id, name)
    SELECT ('00000000-0000-7000-8000-f' || lpad(n::text, 11, '0'))::uuid, 'Factory ' || n
    FROM generate_series(1, {FACTORIES}) AS n;
    INSERT INTO workers (
        id, epoch, host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
    )
    SELECT ('00000000-0000-7000-8000-e' || lpad(n::text, 11, '0'))::uuid, n + 1,
        'host', 1, '1', 1, now(), interval '9 s', now() + interval '9 s'
    FROM generate_series(0, {HELD // HELD_BY_A_WORKER - 1}) AS n;
    INSERT INTO gateways (
        id, factory_id, gateway_id, name, url, email, sealed_password, desired_state, deleted_at
    )
    SELECT
        ('00000000-0000-7000-8000-a' || lpad(to_hex(n), 11, '0'))::uuid,
        ('00000000-0000-7000-8000-f' || lpad((n % {FACTORIES} + 1)::text, 11, '0'))::uuid,
        'CTC-' || n, 'Gateway ' || (n * 7919 % {GATEWAYS}), 'wss://gateway-' || n || '.example.com',
        'someone@example.com', repeat('x', 60)::bytea,
        CASE WHEN n % 50 = 1 THEN 'disconnected' ELSE 'connected' END,
        CASE WHEN n % 100 = 2 THEN now() END
    FROM generate_series(1, {GATEWAYS}) AS n;
    INSERT INTO gateway_connections (gateway_id, worker_id, epoch, state, connected_since)
    SELECT
        ('00000000-0000-7000-8000-a' || lpad(to_hex(n), 11, '0'))::uuid,
        ('00000000-0000-7000-8000-e' || lpad(((n - 1) / {HELD_BY_A_WORKER})::text, 11, '0'))::uuid,
        (n - 1) / {HELD_BY_A_WORKER} + 1, 'connected', now()
    FROM generate_series(1, {HELD}) AS n;
    INSERT INTO workers (
        id, epoch, host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
    ) VALUES (
        '{SMALL_WORKER}', 99, 'host', 1, '1', 1, now(), interval '9 s', now() + interval '9 s'
    );
    UPDATE gateway_connections SET worker_id = '{SMALL_WORKER}', epoch = 99
    WHERE gateway_id IN (SELECT gateway_id FROM gateway_connections ORDER BY gateway_id LIMIT 100);
    RESET session_replication_role;
"""  # noqa: S608
MANY_FACTORIES = """
    SET session_replication_role = replica;
    INSERT INTO factories (id, name, deleted_at)
    SELECT uuidv7(), 'Factory ' || n, CASE WHEN n % 100 = 1 THEN now() END
    FROM generate_series(1, 100000) AS n;
    RESET session_replication_role;
"""


class Case(NamedTuple):
    """A statement, its parameters, and the indexes of which its plan uses exactly these."""

    statement: Query[Any] | Command
    parameters: Mapping[str, object]
    indexes: set[str]


class Node(NamedTuple):
    """A step of a plan that reads a table."""

    kind: str
    table: str
    index_name: str | None
    is_repeated: bool
    """It may run once for each row of another step."""


AFTER = {"after_name": "Gateway 5", "after_id": GATEWAY, "limit": 50}
GATEWAY_CASES = {
    "gateways.FIND_PAGE": Case(
        gateways.FIND_PAGE, {"limit": 50, "offset": 200}, {"gateways_live_name_id_idx"}
    ),
    "gateways.FIND_PAGE_AFTER": Case(gateways.FIND_PAGE_AFTER, AFTER, {"gateways_live_name_id_idx"}),
    "gateways.FIND_PAGE_OF_FACTORY": Case(
        gateways.FIND_PAGE_OF_FACTORY,
        {"factory_id": FACTORY, "limit": 50, "offset": 100},
        {"gateways_live_factory_id_name_id_idx"},
    ),
    "gateways.FIND_PAGE_OF_FACTORY_AFTER": Case(
        gateways.FIND_PAGE_OF_FACTORY_AFTER,
        {"factory_id": FACTORY, **AFTER},
        {"gateways_live_factory_id_name_id_idx"},
    ),
    "gateways.FIND_BY_ID": Case(gateways.FIND_BY_ID, {"id": GATEWAY}, {"gateways_pkey"}),
    "gateways.FIND_LOGINS": Case(gateways.FIND_LOGINS, {"ids": GATEWAY_IDS}, {"gateways_pkey"}),
    "gateways.SOFT_DELETE": Case(gateways.SOFT_DELETE, {"id": GATEWAY}, {"gateways_pkey"}),
    "factories.SOFT_DELETE_GATEWAYS": Case(
        factories.SOFT_DELETE_GATEWAYS, {"id": FACTORY}, {"gateways_factory_id_idx"}
    ),
    "statuses.FIND_BY_ID": Case(
        statuses.FIND_BY_ID, {"id": GATEWAY}, {"gateways_pkey", "gateway_connections_pkey"}
    ),
    "statuses.FIND_LAST_SEEN": Case(
        statuses.FIND_LAST_SEEN, {"ids": GATEWAY_IDS}, {"gateway_connections_pkey"}
    ),
}
FACTORY_CASES = {
    "factories.FIND_PAGE": Case(
        factories.FIND_PAGE, {"limit": 50, "offset": 200}, {"factories_live_name_id_idx"}
    ),
    "factories.FIND_PAGE_AFTER": Case(
        factories.FIND_PAGE_AFTER,
        {"after_name": "Factory 5", "after_id": FACTORY, "limit": 50},
        {"factories_live_name_id_idx"},
    ),
    "factories.FIND_BY_ID": Case(factories.FIND_BY_ID, {"id": FACTORY}, {"factories_pkey"}),
    "gateways.LOCK_FACTORY": Case(gateways.LOCK_FACTORY, {"factory_id": FACTORY}, {"factories_pkey"}),
}


@pytest.fixture(scope="module")
def crowded(server_admin: psycopg.Connection, server_url: str) -> Iterator[psycopg.Connection]:
    """A database with 100,000 gateways in 200 factories. Nothing is executed in it, only explained."""
    with (
        cloned_database(server_admin, server_url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(FILL.encode())
        # What autovacuum does elsewhere: without it no count is answered from an index alone.
        connection.execute("VACUUM (ANALYZE) factories, gateways, gateway_connections, workers")
        yield connection


@pytest.fixture(scope="module")
def many_factories(server_admin: psycopg.Connection, server_url: str) -> Iterator[psycopg.Connection]:
    """A database with 100,000 factories: a few hundred are read whole, whatever indexes there are."""
    with (
        cloned_database(server_admin, server_url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(MANY_FACTORIES.encode())
        connection.execute("VACUUM (ANALYZE) factories")
        yield connection


def explain(
    connection: psycopg.Connection, statement: Query[Any] | Command, parameters: Mapping[str, object]
) -> list[Node]:
    """The steps of the plan that read tables."""
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}".encode(), parameters).fetchone()
    assert row is not None
    return list(reading_nodes(row[0][0]["Plan"], "", is_repeated=False))


def reading_nodes(plan: dict[str, Any], table: str, *, is_repeated: bool) -> Iterator[Node]:
    """A bitmap of an index names no table: it is that of the step that reads the bitmap."""
    table = plan.get("Relation Name", table)
    kind: str = plan["Node Type"]
    if kind == "Bitmap Index Scan" or ("Relation Name" in plan and kind.endswith("Scan")):
        yield Node(kind, table, plan.get("Index Name"), is_repeated)
    for part in plan.get("Plans", []):
        inner = kind == "Nested Loop" and part.get("Parent Relationship") == "Inner"
        yield from reading_nodes(part, table, is_repeated=is_repeated or inner)


def indexes(nodes: list[Node]) -> set[str]:
    """The indexes that a plan uses."""
    return {node.index_name for node in nodes if node.index_name is not None}


def read_whole(nodes: list[Node], *tables: str) -> list[Node]:
    """The steps that read one of these tables from its beginning to its end."""
    return [node for node in nodes if node.kind == "Seq Scan" and node.table in tables]


LARGE = ("gateways", "gateway_connections")


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("name", GATEWAY_CASES)
def test_gateways_are_found_by_their_indexes(crowded: psycopg.Connection, name: str) -> None:
    case = GATEWAY_CASES[name]
    nodes = explain(crowded, case.statement, case.parameters)
    assert indexes([node for node in nodes if node.table in LARGE]) == case.indexes
    assert read_whole(nodes, *LARGE) == []


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("name", FACTORY_CASES)
def test_factories_are_found_by_their_indexes(many_factories: psycopg.Connection, name: str) -> None:
    case = FACTORY_CASES[name]
    nodes = explain(many_factories, case.statement, case.parameters)
    assert indexes(nodes) == case.indexes
    assert read_whole(nodes, "factories") == []


@pytest.mark.req("DB-04")
def test_gateways_are_counted_without_reading_them(crowded: psycopg.Connection) -> None:
    """Which of the indexes of live gateways it is does not matter: all of them hold all live gateways."""
    (node,) = explain(crowded, gateways.COUNT, {})
    assert node.kind == "Index Only Scan"
    (node,) = explain(crowded, gateways.COUNT_OF_FACTORY, {"factory_id": FACTORY})
    assert (node.kind, node.index_name) == ("Index Only Scan", "gateways_live_factory_id_name_id_idx")


@pytest.mark.req("DB-04")
def test_factories_can_be_counted_without_reading_them(many_factories: psycopg.Connection) -> None:
    """They could be: the index is there. Rows are so short that it is no smaller than the table itself."""
    with many_factories.transaction(force_rollback=True):
        many_factories.execute("SET LOCAL enable_seqscan = off")
        (node,) = explain(many_factories, factories.COUNT, {})
    assert (node.kind, node.index_name) == ("Index Only Scan", "factories_live_name_id_idx")


@pytest.mark.req("DB-04")
def test_a_worker_finds_its_gateways_by_index(crowded: psycopg.Connection) -> None:
    nodes = explain(crowded, gateways.FIND_ACTIVE, {"worker_id": SMALL_WORKER})
    assert "gateway_connections_worker_id_idx" in indexes(nodes)
    assert indexes(nodes) & {"gateways_pkey", "gateways_active_id_idx"}
    assert read_whole(nodes, *LARGE) == []


@pytest.mark.req("DB-04")
def test_a_worker_with_5000_gateways_finds_them_by_index(crowded: psycopg.Connection) -> None:
    """Where a worker holds every twentieth gateway, one pass over gateways is cheaper than 5,000 look-ups.

    How many the worker holds is read from the index in any case.
    """
    nodes = explain(crowded, gateways.FIND_ACTIVE, {"worker_id": WORKER})
    assert "gateway_connections_worker_id_idx" in indexes(nodes)
    assert read_whole(nodes, "gateway_connections") == []
    assert [node for node in read_whole(nodes, *LARGE) if node.is_repeated] == []


@pytest.mark.req("DB-04")
def test_a_claim_passes_over_the_tables_once(crowded: psycopg.Connection) -> None:
    """What nobody holds is the difference of two large sets: one pass over each is the cheapest there is."""
    nodes = explain(crowded, connections.CLAIM, {"worker_id": WORKER, "epoch": 4, "limit": 500})
    for table in LARGE:
        (node,) = [node for node in nodes if node.table == table]
        assert node.kind == "Seq Scan" or node.index_name is not None
        assert not (node.kind == "Seq Scan" and node.is_repeated)
