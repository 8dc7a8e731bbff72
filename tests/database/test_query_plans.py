"""PostgreSQL's plans answer the important queries from indexes at 100,000 gateways."""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest

from service.database.desired import (
    bulk_updates,
    factories,
    factory_lists,
    gateway_import,
    gateway_lists,
    gateways,
    restore,
)
from service.database.desired.factory_lists import FactoryFilter, FactorySort
from service.database.desired.gateway_lists import GatewayFilter, GatewaySort, WorkerLiveness
from service.database.desired.json_rows import STATUS_PARAMETERS, JsonItem
from service.database.engine.paging import PageStart, Start
from service.database.engine.query import Command, Query
from service.database.observed import active_gateways, connections
from service.database.views import event_stream, history, statuses, summaries
from service.gateway_states import QUEUED
from tests.support.database_server import cloned_database

GATEWAYS = 100_000
FACTORIES = 200
HELD = 95_000
HELD_BY_A_WORKER = 5_000
FACTORY = UUID("00000000-0000-7000-8000-f00000000007")
GATEWAY = UUID("00000000-0000-7000-8000-a00000000777")
WORKER = UUID("00000000-0000-7000-8000-e00000000003")
SMALL_WORKER = UUID("00000000-0000-7000-8000-e00000000099")
GATEWAY_IDS = [UUID(int=GATEWAY.int + number) for number in range(0, 5_000, 100)]
AS_TEXT = "{" + ",".join(map(str, GATEWAY_IDS)) + "}"

# Without triggers and foreign key checks, which would take twice the time. Few gateways are deleted or not
# wanted; the last 5,000 wait for a worker and have no connection yet.
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
        id, factory_id, device_id, name, url, email, sealed_password, desired_state, deleted_at, created_at
    )
    SELECT
        ('00000000-0000-7000-8000-a' || lpad(to_hex(n), 11, '0'))::uuid,
        ('00000000-0000-7000-8000-f' || lpad((n % {FACTORIES} + 1)::text, 11, '0'))::uuid,
        'CTC-' || n, 'Gateway ' || (n * 7919 % {GATEWAYS}), 'wss://gateway-' || n || '.example.com',
        'someone@example.com', repeat('x', 60)::bytea,
        CASE WHEN n % 50 = 1 THEN 'disconnected' ELSE 'connected' END,
        CASE WHEN n % 100 = 2 THEN now() END, now() - n * interval '1 s'
    FROM generate_series(1, {GATEWAYS}) AS n;
    INSERT INTO gateway_connections (
        gateway_id, worker_id, epoch, state, connected_since, next_attempt_at, last_seen_at
    )
    SELECT
        ('00000000-0000-7000-8000-a' || lpad(to_hex(n), 11, '0'))::uuid,
        ('00000000-0000-7000-8000-e' || lpad(((n - 1) / {HELD_BY_A_WORKER})::text, 11, '0'))::uuid,
        (n - 1) / {HELD_BY_A_WORKER} + 1,
        CASE WHEN n % 1000 = 5 THEN 'auth_failed' ELSE 'connected' END,
        CASE WHEN n % 1000 = 5 THEN NULL ELSE now() END,
        CASE WHEN n % 1000 = 5 THEN now() END,
        now() - n % 1000 * interval '10 ms'
    FROM generate_series(1, {HELD}) AS n;
    INSERT INTO desired_state_changes (gateway_id, at, is_wanted)
    SELECT id, created_at, desired_state = 'connected' FROM gateways;
    INSERT INTO gateway_events (gateway_id, factory_id, at, from_state, to_state, attempt)
    SELECT
        ('00000000-0000-7000-8000-a' || lpad(to_hex(n % 2000), 11, '0'))::uuid,
        ('00000000-0000-7000-8000-f' || lpad((n % {FACTORIES} + 1)::text, 11, '0'))::uuid,
        now() - (200000 - n) * interval '10 s', 'connected', 'retrying', 1
    FROM generate_series(1, 200000) AS n;
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
    """A statement, its parameters, and exactly the indexes that its plan must use."""

    statement: Query[Any] | Command
    parameters: Mapping[str, object]
    indexes: set[str]


class Node(NamedTuple):
    """A plan node that reads a table."""

    kind: str
    table: str
    index_name: str | None
    is_repeated: bool
    """How often it runs, such as once per row of another node."""


LIVE = GatewayFilter()
OF_FACTORY = GatewayFilter(factory_id=FACTORY)
UNWANTED = GatewayFilter(desired_state="disconnected")
DELETED = GatewayFilter(is_deleted=True)
CONNECTED = GatewayFilter(states=("connected",))
UNKNOWN = GatewayFilter(states=("unknown",))
HOLDERS = [
    WorkerLiveness(UUID(f"00000000-0000-7000-8000-e{number:011}"), is_live=True)
    for number in range(HELD // HELD_BY_A_WORKER)
]
EVERY_FACTORY = FactoryFilter()


def gateway_page(sort: GatewaySort, conditions: gateway_lists.Conditions, start: Start) -> Query[JsonItem]:
    """Return the statement of a page without the count in it, which has tests of its own."""
    query = gateway_lists.json_page(sort, conditions, start)
    return replace(query, sql="SELECT " + query.sql.partition(" AS total,")[2])


def page(sort: GatewaySort, which: GatewayFilter = LIVE, after: str | None = None, indexes: str = "") -> Case:
    """Return a page in this order, after a key if there is one, else after 200 rows."""
    start = PageStart(rows_skipped=200) if after is None else PageStart(after=(after, GATEWAY))
    parameters = gateway_lists.page_parameters(start, 50, which, HOLDERS)
    statement = gateway_page(sort, which.conditions, start.kind)
    # Skipped rows are read in the index alone; those of the page are then found one by one.
    by_id = {"gateway_connections_pkey"} if start.after else {"gateway_connections_pkey", "gateways_pkey"}
    return Case(statement, parameters, by_id | set(indexes.split()))


# The page is read from gateways; each last contact is looked up by key.
GATEWAY_CASES = {
    "by name": page("name", indexes="gateways_live_name_id_idx"),
    "by name, after": page("name", after="Gateway 5", indexes="gateways_live_name_id_idx"),
    "by -name": page("-name", indexes="gateways_live_name_id_idx"),
    "by -name, after": page("-name", after="Gateway 5", indexes="gateways_live_name_id_idx"),
    "by created_at": page("created_at", indexes="gateways_live_created_at_id_idx"),
    "by created_at, after": page(
        "created_at", after="2026-01-01T00:00:00+00:00", indexes="gateways_live_created_at_id_idx"
    ),
    "by -created_at": page("-created_at", indexes="gateways_live_created_at_id_idx"),
    "by -created_at, after": page(
        "-created_at", after="2027-01-01T00:00:00+00:00", indexes="gateways_live_created_at_id_idx"
    ),
    "of a factory": page("name", OF_FACTORY, indexes="gateways_live_factory_id_name_id_idx"),
    "of a factory, after": page("name", OF_FACTORY, "Gateway 5", "gateways_live_factory_id_name_id_idx"),
    "unwanted": page("name", UNWANTED, indexes="gateways_live_desired_state_name_id_idx"),
    "unwanted, after": page("name", UNWANTED, "Gateway 5", "gateways_live_desired_state_name_id_idx"),
    "unwanted, by -name": page("-name", UNWANTED, indexes="gateways_live_desired_state_name_id_idx"),
    "deleted": page("name", DELETED, indexes="gateways_deleted_name_id_idx"),
    "deleted, after": page("name", DELETED, "Gateway 5", "gateways_deleted_name_id_idx"),
    "deleted, by -name": page("-name", DELETED, indexes="gateways_deleted_name_id_idx"),
    "with a word that is frequent": page(
        "name", GatewayFilter(text="gateway 1"), indexes="gateways_live_name_id_idx"
    ),
    "connected": page("name", CONNECTED, indexes="gateways_live_name_id_idx"),
    "restore.RESTORE_GATEWAYS": Case(restore.RESTORE_GATEWAYS, {"id": FACTORY}, {"gateways_factory_id_idx"}),
    "restore.FIND_TAKEN": Case(
        restore.FIND_TAKEN,
        {"id": FACTORY, "limit": 100},
        {"gateways_factory_id_idx", "gateways_live_device_id_key"},
    ),
    "history.FIND_PRESENT": Case(
        history.FIND_PRESENT,
        {"gateway_id": GATEWAY},
        {"gateways_pkey", "gateway_connections_pkey"},
    ),
    "gateway_import.FIND_TAKEN": Case(
        gateway_import.FIND_TAKEN,
        {"device_ids": [f"CTC-{number}" for number in range(gateway_import.BATCH_ROWS)]},
        {"gateways_live_device_id_key"},
    ),
    "bulk_updates.WANT_CONNECTED": Case(
        bulk_updates.WANT_CONNECTED,
        {"ids": AS_TEXT, "live_workers": [WORKER]},
        {"gateways_pkey", "gateway_connections_pkey"},
    ),
    "bulk_updates.WANT_DISCONNECTED": Case(
        bulk_updates.WANT_DISCONNECTED,
        {"ids": AS_TEXT},
        {"gateways_pkey", "gateways_active_id_idx"},
    ),
    "gateways.FIND_BY_ID": Case(gateways.FIND_BY_ID, {"id": GATEWAY}, {"gateways_pkey"}),
    "active_gateways.FIND_LOGINS": Case(active_gateways.FIND_LOGINS, {"ids": GATEWAY_IDS}, {"gateways_pkey"}),
    "gateways.SOFT_DELETE": Case(gateways.SOFT_DELETE, {"id": GATEWAY}, {"gateways_pkey"}),
    "factories.SOFT_DELETE_GATEWAYS": Case(
        factories.SOFT_DELETE_GATEWAYS, {"id": FACTORY}, {"gateways_factory_id_idx"}
    ),
    "statuses.FIND_BY_ID": Case(
        statuses.FIND_BY_ID, {"id": GATEWAY}, {"gateways_pkey", "gateway_connections_pkey"}
    ),
}


def factory_page(
    sort: FactorySort, which: FactoryFilter = EVERY_FACTORY, after: str | None = None, indexes: str = ""
) -> Case:
    """Return a page in this order."""
    start = PageStart(rows_skipped=200) if after is None else PageStart(after=(after, FACTORY))
    parameters = factory_lists.page_parameters(start, 50, which)
    statement = factory_lists.page(sort, which.conditions, start.kind)
    return Case(statement, parameters, set(indexes.split()))


FACTORY_CASES = {
    "by name": factory_page("name", indexes="factories_live_name_id_idx"),
    "by name, after": factory_page("name", after="Factory 5", indexes="factories_live_name_id_idx"),
    "by -name": factory_page("-name", indexes="factories_live_name_id_idx"),
    "by created_at": factory_page("created_at", indexes="factories_live_created_at_id_idx"),
    "by -created_at, after": factory_page(
        "-created_at", after="2027-01-01T00:00:00+00:00", indexes="factories_live_created_at_id_idx"
    ),
    "with a word that is frequent": factory_page(
        "name", FactoryFilter(text="FACTORY 1"), indexes="factories_live_name_id_idx"
    ),
    "deleted": factory_page("name", FactoryFilter(is_deleted=True), indexes="factories_deleted_name_id_idx"),
    "factories.FIND_BY_ID": Case(factories.FIND_BY_ID, {"id": FACTORY}, {"factories_pkey"}),
    "gateway_import.FIND_FACTORIES": Case(
        gateway_import.FIND_FACTORIES, {"ids": [FACTORY]}, {"factories_pkey"}
    ),
    "gateway_import.LOCK_FACTORIES": Case(
        gateway_import.LOCK_FACTORIES, {"ids": [FACTORY]}, {"factories_pkey"}
    ),
    "gateways.LOCK_FACTORY": Case(gateways.LOCK_FACTORY, {"factory_id": FACTORY}, {"factories_pkey"}),
}


@pytest.fixture(scope="module")
def crowded(server_admin: psycopg.Connection, server_url: str) -> Iterator[psycopg.Connection]:
    """Yield a database with 100,000 gateways in 200 factories, for EXPLAIN only."""
    with (
        cloned_database(server_admin, server_url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(FILL.encode())
        # As autovacuum does: without it there are no index-only scans.
        connection.execute(
            "VACUUM (ANALYZE) factories, gateways, gateway_connections, gateway_events,"
            " desired_state_changes, workers"
        )
        yield connection


@pytest.fixture(scope="module")
def many_factories(server_admin: psycopg.Connection, server_url: str) -> Iterator[psycopg.Connection]:
    """Yield a database with 100,000 factories: PostgreSQL reads a table of a few hundred without indexes."""
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
    """Return the plan's nodes that read tables."""
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}".encode(), parameters).fetchone()
    assert row is not None
    return list(reading_nodes(row[0][0]["Plan"], "", is_repeated=False))


def reading_nodes(plan: dict[str, Any], table: str, *, is_repeated: bool) -> Iterator[Node]:
    """Return these nodes; a bitmap index scan gets its table from the node above."""
    table = plan.get("Relation Name", table)
    kind: str = plan["Node Type"]
    if kind == "Bitmap Index Scan" or ("Relation Name" in plan and kind.endswith("Scan")):
        yield Node(kind, table, plan.get("Index Name"), is_repeated)
    for part in plan.get("Plans", []):
        relationship = part.get("Parent Relationship")
        inner = relationship == "SubPlan" or (kind == "Nested Loop" and relationship == "Inner")
        yield from reading_nodes(part, table, is_repeated=is_repeated or inner)


def indexes(nodes: list[Node]) -> set[str]:
    """Return the indexes that a plan uses."""
    return {node.index_name for node in nodes if node.index_name is not None}


def read_whole(nodes: list[Node], *tables: str) -> list[Node]:
    """Return the nodes that read one of these tables completely."""
    return [node for node in nodes if node.kind == "Seq Scan" and node.table in tables]


LARGE = ("gateways", "gateway_connections")
PAST = ("gateway_events", "desired_state_changes")
DAY = {
    "gateway_id": GATEWAY,
    "start": datetime.now(UTC) - timedelta(days=2),
    "end": datetime.now(UTC) - timedelta(days=1),
}
PAST_CASES = {
    "history.FIND_EVENTS": Case(
        history.FIND_EVENTS,
        {"gateway_id": GATEWAY, "before_id": None, "limit": 50},
        {"gateway_events_gateway_id_id_idx"},
    ),
    "history.FIND_EVENTS, after": Case(
        history.FIND_EVENTS,
        {"gateway_id": GATEWAY, "before_id": 100_000, "limit": 50},
        {"gateway_events_gateway_id_id_idx"},
    ),
    "history.FIND_STEP_BEFORE": Case(history.FIND_STEP_BEFORE, DAY, {"gateway_events_gateway_id_id_idx"}),
    "history.FIND_STEPS_BEHIND": Case(
        history.FIND_STEPS_BEHIND,
        {"gateway_id": GATEWAY, "after_id": 100_000, "limit": history.STEPS_A_PAGE},
        {"gateway_events_gateway_id_id_idx"},
    ),
    "history.FIND_DESIRED_STATE_CHANGES": Case(
        history.FIND_DESIRED_STATE_CHANGES,
        {**DAY, "limit": 100_000},
        {"desired_state_changes_gateway_id_id_idx"},
    ),
    "history.FIND_PRESENT": Case(
        history.FIND_PRESENT, {"gateway_id": GATEWAY}, {"desired_state_changes_gateway_id_id_idx"}
    ),
}
STREAM = {"modified_xid": "3", "id": 199_000}
STREAM_CASES = {
    "event_stream.FIND_WINDOW": Case(
        event_stream.FIND_WINDOW,
        {**STREAM, "limit": event_stream.WINDOW_ROWS},
        {"gateway_events_modified_xid_id_idx"},
    ),
    "event_stream.FIND_NEWEST": Case(event_stream.FIND_NEWEST, {}, {"gateway_events_modified_xid_id_idx"}),
    **{
        f"event_stream.FIND_BETWEEN, {name}": Case(
            event_stream.FIND_BETWEEN,
            {
                **STREAM,
                "last_modified_xid": "999999999",
                "last_id": 200_000,
                "factory_id": factory_id,
                "limit": 101,
            },
            {"gateway_events_modified_xid_id_idx"},
        )
        for name, factory_id in (("all", None), ("of a factory", FACTORY))
    },
}


def batched(which: GatewayFilter) -> Mapping[str, object]:
    """For id_batches."""
    return {**which.parameters(HOLDERS), "batch_rows": bulk_updates.BATCH_ROWS}


# Filters without an index read each table at most once, and once more for the count.
ONE_PASS: dict[str, tuple[Query[Any], Mapping[str, object]]] = {
    **{
        f"{sort}{', after' if after else ''}": (
            gateway_page(sort, LIVE.conditions, "behind" if after else "first"),
            gateway_lists.page_parameters(
                PageStart(after=(after, GATEWAY)) if after else PageStart(), 50, LIVE
            ),
        )
        for sort in typing.get_args(GatewaySort)[4:]
        for after in (None, "-infinity", "2026-01-01T00:00:00+00:00")
    },
    **{
        f"{'count' if counted else 'page'} {number}": (
            gateway_lists.count(which.conditions)
            if counted
            else gateway_page("name", which.conditions, "first"),
            which.parameters(HOLDERS)
            if counted
            else gateway_lists.page_parameters(PageStart(), 50, which, HOLDERS),
        )
        for counted in (False, True)
        for number, which in enumerate(
            (
                GatewayFilter(text="no such word"),
                GatewayFilter(states=("disconnected",)),
                CONNECTED,
                GatewayFilter(
                    states=("connected",), desired_state="disconnected", text="x", factory_id=FACTORY
                ),
            )
        )
    },
    "gateway_lists.id_batches, all": (gateway_lists.id_batches(LIVE.conditions), batched(LIVE)),
    "gateway_lists.id_batches, connected": (
        gateway_lists.id_batches(CONNECTED.conditions),
        batched(CONNECTED),
    ),
    "summaries.COUNT_STATES": (
        summaries.COUNT_STATES,
        {"factory_ids": [FACTORY], "lost_workers": [SMALL_WORKER]},
    ),
}


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("name", GATEWAY_CASES)
def test_gateways_are_found_by_their_indexes(crowded: psycopg.Connection, name: str) -> None:
    case = GATEWAY_CASES[name]
    nodes = explain(crowded, case.statement, case.parameters)
    assert indexes([node for node in nodes if node.table in LARGE]) == case.indexes
    assert read_whole(nodes, *LARGE) == []


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("name", PAST_CASES)
def test_the_history_of_a_gateway_is_found_by_its_index(crowded: psycopg.Connection, name: str) -> None:
    case = PAST_CASES[name]
    nodes = explain(crowded, case.statement, case.parameters)
    assert indexes([node for node in nodes if node.table in PAST]) >= case.indexes
    assert read_whole(nodes, *PAST) == []


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("name", STREAM_CASES)
def test_the_stream_of_events_is_read_from_its_index(crowded: psycopg.Connection, name: str) -> None:
    case = STREAM_CASES[name]
    nodes = explain(crowded, case.statement, case.parameters)
    assert indexes([node for node in nodes if node.table == "gateway_events"]) == case.indexes
    assert read_whole(nodes, "gateway_events") == []


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("sort", typing.get_args(GatewaySort))
def test_a_rare_state_is_found_by_its_index(crowded: psycopg.Connection, sort: GatewaySort) -> None:
    rare = GatewayFilter(states=("auth_failed",))
    for statement, parameters in (
        (
            gateway_page(sort, rare.conditions, "first"),
            gateway_lists.page_parameters(PageStart(), 50, rare, HOLDERS),
        ),
        (gateway_lists.count(rare.conditions), rare.parameters(HOLDERS)),
        (gateway_lists.id_batches(rare.conditions), batched(rare)),
    ):
        nodes = explain(crowded, statement, parameters)
        assert "gateway_connections_state_idx" in indexes(nodes)
        assert read_whole(nodes, *LARGE) == []


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("sort", typing.get_args(GatewaySort))
@pytest.mark.parametrize("lost", [[], [WorkerLiveness(SMALL_WORKER, is_live=False)]])
def test_unknown_gateways_are_found_by_their_lost_worker(
    crowded: psycopg.Connection, sort: GatewaySort, lost: list[WorkerLiveness]
) -> None:
    for statement, parameters in (
        (
            gateway_page(sort, UNKNOWN.conditions, "first"),
            gateway_lists.page_parameters(PageStart(), 50, UNKNOWN, [*HOLDERS, *lost]),
        ),
        (gateway_lists.count(UNKNOWN.conditions), UNKNOWN.parameters([*HOLDERS, *lost])),
    ):
        nodes = explain(crowded, statement, parameters)
        assert "gateway_connections_worker_id_epoch_idx" in indexes(nodes)
        assert read_whole(nodes, *LARGE) == []


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("sort", ["name", "created_at", "state_since"])
def test_the_status_of_each_of_a_page_is_found_by_its_keys(
    crowded: psycopg.Connection, sort: GatewaySort
) -> None:
    bare = gateway_lists.json_page(sort, LIVE.conditions, "first")
    whole = gateway_lists.json_page(sort, LIVE.conditions, "first", has_status=True)
    parameters = gateway_lists.page_parameters(PageStart(), 50, LIVE, HOLDERS)
    before = explain(crowded, bare, parameters)
    after = explain(crowded, whole, {**parameters, **STATUS_PARAMETERS})
    assert read_whole(after, *LARGE) == read_whole(before, *LARGE)
    added = [node for node in after if node not in before and node.table in LARGE]
    assert {node.index_name for node in added} <= {"gateways_pkey", "gateway_connections_pkey"}


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("name", ONE_PASS)
def test_a_filter_without_an_index_takes_one_pass(crowded: psycopg.Connection, name: str) -> None:
    nodes = explain(crowded, *ONE_PASS[name])
    for table in LARGE:
        # A bitmap index scan does not read the table.
        of_table = [node for node in nodes if node.table == table and node.kind != "Bitmap Index Scan"]
        assert len([node for node in of_table if not node.is_repeated]) <= 1, of_table
        # Single rows are looked up by key.
        assert all((node.index_name or "").endswith("_pkey") for node in of_table if node.is_repeated)
    assert not [node for node in nodes if node.table == "workers" and node.is_repeated]


@pytest.mark.req("DB-04")
@pytest.mark.parametrize("name", FACTORY_CASES)
def test_factories_are_found_by_their_indexes(many_factories: psycopg.Connection, name: str) -> None:
    case = FACTORY_CASES[name]
    nodes = explain(many_factories, case.statement, case.parameters)
    assert indexes(nodes) == case.indexes
    assert read_whole(nodes, "factories") == []


@pytest.mark.req("DB-04")
def test_gateways_are_counted_without_reading_them(crowded: psycopg.Connection) -> None:
    """Frequent totals are read from counters."""
    for which in (LIVE, OF_FACTORY):
        nodes = explain(crowded, gateway_lists.count(which.conditions), which.parameters())
        assert {node.table for node in nodes} == {"gateway_counts"}
    for which, prefix in (
        (UNWANTED, "gateways_live_desired_state_"),
        (DELETED, "gateways_deleted_"),
    ):
        (node,) = explain(crowded, gateway_lists.count(which.conditions), which.parameters())
        assert node.kind == "Index Only Scan"
        assert (node.index_name or "").startswith(prefix), which


@pytest.mark.req("DB-04")
def test_gateways_of_a_factory_are_found_without_reading_others(crowded: psycopg.Connection) -> None:
    nodes = explain(crowded, gateway_lists.id_batches(OF_FACTORY.conditions), batched(OF_FACTORY))
    assert any((name or "").startswith("gateways_live_factory_id_") for name in indexes(nodes))
    assert read_whole(nodes, "gateways") == []


@pytest.mark.req("DB-04")
def test_factories_can_be_counted_without_reading_them(many_factories: psycopg.Connection) -> None:
    """The index exists, but PostgreSQL prefers the table, whose rows are as short."""
    with many_factories.transaction(force_rollback=True):
        many_factories.execute("SET LOCAL enable_seqscan = off")
        (node,) = explain(many_factories, factory_lists.count(("live",)), EVERY_FACTORY.parameters())
    assert node.kind == "Index Only Scan"
    assert (node.index_name or "").startswith("factories_live_")


@pytest.mark.req("DB-04")
def test_a_worker_finds_its_gateways_by_index(crowded: psycopg.Connection) -> None:
    nodes = explain(crowded, active_gateways.FIND_ACTIVE, {"worker_id": SMALL_WORKER, "ids": None})
    assert "gateway_connections_worker_id_epoch_idx" in indexes(nodes)
    assert indexes(nodes) & {"gateways_pkey", "gateways_active_id_idx"}
    assert read_whole(nodes, *LARGE) == []


@pytest.mark.req("DB-04")
def test_a_worker_with_5000_gateways_finds_them_by_index(crowded: psycopg.Connection) -> None:
    """For every twentieth gateway, one pass over gateways is cheaper than 5,000 look-ups.

    The worker's number of gateways is still read from the index.
    """
    nodes = explain(crowded, active_gateways.FIND_ACTIVE, {"worker_id": WORKER, "ids": None})
    assert "gateway_connections_worker_id_epoch_idx" in indexes(nodes)
    assert read_whole(nodes, "gateway_connections") == []
    assert [node for node in read_whole(nodes, *LARGE) if node.is_repeated] == []


@pytest.mark.req("DB-04")
def test_a_worker_polling_for_changes_reads_only_changed_rows(
    crowded: psycopg.Connection,
) -> None:
    # Nothing has changed since the transaction that filled the tables.
    newest = crowded.execute("SELECT max(modified_xid)::text::bigint + 1 FROM gateways").fetchone()
    assert newest is not None
    for query in (active_gateways.FIND_WATERMARK, active_gateways.FIND_CHANGED):
        nodes = explain(crowded, query, {"transaction": newest[0], "worker_id": WORKER})
        assert "gateways_modified_xid_idx" in indexes(nodes)
        assert read_whole(nodes, *LARGE) == []


@pytest.mark.req("DB-04")
def test_a_claim_reads_gateways_one_by_one_in_index_order(crowded: psycopg.Connection) -> None:
    """So the next claim continues where it ended, and the plan needs no statistics."""
    claim = {
        **QUEUED.parameters(),
        "worker_id": WORKER,
        "epoch": 4,
        "limit": 500,
        "after_id": connections.BEFORE_ALL,
    }
    nodes = explain(crowded, connections.CLAIM, claim)
    assert {"gateways_active_id_idx", "gateway_connections_pkey"} <= indexes(nodes)
    assert read_whole(nodes, *LARGE) == []
