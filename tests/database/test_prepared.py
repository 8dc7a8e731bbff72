"""Statements are prepared once per connection, and again when the server has lost them."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.database.desired import gateway_lists, gateways
from service.database.desired.gateway_lists import GatewayFilter
from service.database.engine.paging import PageStart
from service.database.engine.pool import ConnectionExecutor, Database, connect
from service.database.engine.query import Command, Parameters, Query
from service.errors import DatabaseUnavailableError
from tests.support.database_pools import config_for

# psycopg does not notice it, as if the session were a new one.
FORGET = Command("DO $$ BEGIN DEALLOCATE ALL; END $$")
ID = {"id": "00000000-0000-7000-8000-000000000001"}
CONNECTIONS = 3
NO_CHANGE: dict[str, object] = {**dict.fromkeys(re.findall(r"%\((\w+)\)s", gateways.UPDATE.sql)), **ID}


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """Open a connection as the service does."""
    with connect(config_for(database_url), "test") as connection:
        yield connection


@contextmanager
def opened(url: str, connections: int) -> Iterator[Database]:
    """Open a pool of that many connections."""
    database = Database(config_for(url, connections), "test")
    database.open()
    try:
        yield database
    finally:
        database.close()


def prepared(connection: psycopg.Connection) -> list[tuple[int, int]]:
    """Return, for each prepared statement of the session, its number of generic and custom plans."""
    return connection.execute(
        "SELECT custom_plans, generic_plans FROM pg_prepared_statements"
        " WHERE statement NOT LIKE '%pg_prepared_statements%' ORDER BY prepare_time"
    ).fetchall()


def test_a_statement_is_prepared_at_its_first_use_by_any_executor(
    connection: psycopg.Connection,
) -> None:
    for _ in range(3):
        assert ConnectionExecutor(connection).fetch_one(gateways.FIND_BY_ID, ID) is None
    assert [sum(plans) for plans in prepared(connection)] == [3]


def test_a_statement_with_custom_plans_is_not_prepared(connection: psycopg.Connection) -> None:
    executor = ConnectionExecutor(connection)
    which = gateway_lists.GatewayFilter(text="x")
    for _ in range(8):
        executor.fetch_one(gateway_lists.count(which.conditions), which.parameters())
    assert prepared(connection) == []


def alter_columns(url: str, kind: str) -> None:
    """Migrate as if changing the result type of statements on gateways."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE gateways ALTER COLUMN model TYPE {kind}".encode())


def in_all_sessions(
    database: Database, statement: Query[Any] | Command, parameters: Parameters = MappingProxyType(ID)
) -> None:
    """Prepare the statement in each connection of the pool by running it in a transaction."""
    with ExitStack() as transactions:
        for _ in range(CONNECTIONS):
            executor = transactions.enter_context(database.transaction())
            if isinstance(statement, Command):
                executor.execute(statement, parameters)
            else:
                executor.fetch_one(statement, parameters)


def test_a_session_that_lost_its_statements_is_replaced_and_the_call_retried(
    database_url: str,
) -> None:
    with opened(database_url, connections=1) as database:
        for _ in range(3):
            assert database.fetch_one(gateways.FIND_BY_ID, ID) is None
            assert database.execute(gateways.SOFT_DELETE, ID) == 0
            database.execute(FORGET, {})
        assert database.execute(gateways.SOFT_DELETE, ID) == 0


def test_a_statement_works_after_a_migration_that_changes_its_result_type(database_url: str) -> None:
    with opened(database_url, CONNECTIONS) as database:
        for kind in ("varchar(100)", "text"):
            in_all_sessions(database, gateways.FIND_BY_ID)
            in_all_sessions(database, gateways.UPDATE, NO_CHANGE)
            alter_columns(database_url, kind)
            for _ in range(CONNECTIONS):
                assert database.fetch_one(gateways.FIND_BY_ID, ID) is None
                assert database.fetch_one(gateways.UPDATE, NO_CHANGE) is None


@pytest.mark.parametrize("why", ["a migration", "the session lost it"])
def test_a_statement_run_only_in_transactions_fails_once_after_a_reset(database_url: str, why: str) -> None:
    with opened(database_url, CONNECTIONS) as database:
        for kind in ("varchar(100)", "text"):
            in_all_sessions(database, gateways.LOCK_BY_ID)
            if why == "a migration":
                alter_columns(database_url, kind)
            else:
                in_all_sessions(database, FORGET)
            outcomes: list[object] = []
            for _ in range(2 * CONNECTIONS):
                try:
                    with database.transaction() as transaction:
                        found = transaction.fetch_one(gateways.LOCK_BY_ID, ID)
                        outcomes.append(found)
                except DatabaseUnavailableError as error:
                    outcomes.append(error)
            assert [type(outcome) for outcome in outcomes[:1]] == [DatabaseUnavailableError]
            assert outcomes[1:] == [None] * (2 * CONNECTIONS - 1)


@pytest.mark.parametrize("start", [PageStart(), PageStart(after=("Gateway 5", UUID(ID["id"])))])
@pytest.mark.parametrize("which", [GatewayFilter(), GatewayFilter(factory_id=UUID(ID["id"]))])
def test_frequent_lists_are_planned_once(
    connection: psycopg.Connection, which: GatewayFilter, start: PageStart
) -> None:
    """After the five custom plans that PostgreSQL makes of each statement for comparison."""
    repository = gateways.GatewayRepository(ConnectionExecutor(connection))
    for _ in range(8):
        repository.list_json(start, 21, which)
    plans = prepared(connection)
    assert (5, 3) in plans
    assert max(custom for custom, _ in plans) == 5
