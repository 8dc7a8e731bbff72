"""Statements are prepared once a connection, and again where the server does not know them any more."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from service.database import gateway_lists, gateways, statuses
from service.database.gateway_lists import GatewayFilter
from service.database.numbered import numbered
from service.database.paging import PageStart
from service.database.pool import ConnectionExecutor, Database, connect
from service.database.query import Command
from service.errors import DatabaseUnavailableError
from tests.service.pools import config_for

FORGET = Command("DEALLOCATE ALL")
ID = {"id": "00000000-0000-7000-8000-000000000001"}


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection as the service has them."""
    with connect(config_for(database_url), "test") as connection:
        yield connection


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """A pool of one connection."""
    database = Database(config_for(url), "test")
    database.open()
    try:
        yield database
    finally:
        database.close()


def prepared(connection: psycopg.Connection) -> dict[str, int]:
    """What the session knows, and how often each was run."""
    rows = connection.execute(
        "SELECT name, generic_plans + custom_plans FROM pg_prepared_statements WHERE statement NOT LIKE"
        " '%pg_prepared_statements%'"
    ).fetchall()
    return dict(rows)


def test_a_statement_is_prepared_at_its_first_use_by_whichever_executor(
    connection: psycopg.Connection,
) -> None:
    for _ in range(3):
        assert ConnectionExecutor(connection).fetch_one(gateways.FIND_BY_ID, ID) is None
    name = numbered(gateways.FIND_BY_ID.sql).name.decode()
    assert prepared(connection) == {name: 3}


def test_what_is_planned_anew_is_not_prepared(connection: psycopg.Connection) -> None:
    executor = ConnectionExecutor(connection)
    which = gateway_lists.GatewayFilter(text="x")
    executor.fetch_one(gateway_lists.count(which.conditions), which.parameters())
    assert prepared(connection) == {}


@pytest.mark.parametrize("forget", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_a_session_that_forgot_is_told_again(connection: psycopg.Connection, forget: str) -> None:
    executor = ConnectionExecutor(connection)
    executor.fetch_one(gateways.FIND_BY_ID, ID)
    executor.fetch_one(statuses.FIND_BY_ID, ID)
    connection.execute(forget.encode())
    assert executor.fetch_one(gateways.FIND_BY_ID, ID) is None
    assert executor.execute(gateways.SOFT_DELETE, ID) == 0
    assert executor.fetch_one(statuses.FIND_BY_ID, ID) is None
    assert len(prepared(connection)) == 3


def test_a_name_that_the_session_has_from_another_connection_means_the_same(
    connection: psycopg.Connection,
) -> None:
    statement = numbered(gateways.FIND_BY_ID.sql)
    connection.pgconn.prepare(statement.name, statement.sql)
    assert ConnectionExecutor(connection).fetch_one(gateways.FIND_BY_ID, ID) is None


def test_a_statement_outlives_a_migration_that_changes_what_it_returns(
    connection: psycopg.Connection,
) -> None:
    executor = ConnectionExecutor(connection)
    executor.fetch_one(gateways.FIND_BY_ID, ID)
    connection.execute("ALTER TABLE gateways ALTER COLUMN model TYPE varchar(100)")
    assert executor.fetch_one(gateways.FIND_BY_ID, ID) is None


def test_a_transaction_whose_session_forgot_fails_and_the_next_one_does_not(database_url: str) -> None:
    with opened(database_url) as database:
        with database.transaction() as transaction:
            transaction.execute(gateways.SOFT_DELETE, ID)
            transaction.execute(FORGET, {})
        with pytest.raises(DatabaseUnavailableError), database.transaction() as transaction:
            transaction.execute(gateways.SOFT_DELETE, ID)
        with database.transaction() as transaction:
            assert transaction.execute(gateways.SOFT_DELETE, ID) == 0


def test_statements_are_numbered_by_name() -> None:
    statement = numbered("SELECT %(b)s, %(a)s, %(b)s LIKE '50%%'")
    assert (statement.sql, statement.parameters) == (b"SELECT $1, $2, $1 LIKE '50%'", ("b", "a"))
    assert statement.values({"a": 1, "b": 2}) == [2, 1]
    assert statement.name != numbered("SELECT 1").name
    with pytest.raises(ValueError, match="doubled"):
        numbered("SELECT 1 % 2")


@pytest.mark.parametrize("start", [PageStart(), PageStart(after=("Gateway 5", UUID(ID["id"])))])
@pytest.mark.parametrize("which", [GatewayFilter(), GatewayFilter(factory_id=UUID(ID["id"]))])
def test_frequent_lists_are_planned_once(
    connection: psycopg.Connection, which: GatewayFilter, start: PageStart
) -> None:
    """After the five plans that PostgreSQL makes of each statement to compare."""
    repository = gateways.GatewayRepository(ConnectionExecutor(connection))
    for _ in range(8):
        repository.render_all(start, 21, which)
    statement = gateway_lists.rendered_page("name", which.conditions, start.kind)
    (counts,) = connection.execute(
        "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE name = %s",
        (numbered(statement.sql).name.decode(),),
    ).fetchall()
    assert counts == (5, 3)
