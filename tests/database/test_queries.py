"""Every statement is prepared on the migrated schema, and its columns are compared with its row type."""

import ast
import dataclasses
import importlib
import itertools
import pkgutil
import re
import typing
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import UnionType
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest
from psycopg.pq import ExecStatus

import service.database
from devstack.checks.generated import ROWS
from devstack.checks.row_types import read_columns, render_module
from devstack.project import PROJECT
from service.database.desired import factory_lists, gateway_lists
from service.database.desired.values import FactoryChanges, GatewayChanges, NewFactory, NewGateway
from service.database.engine.paging import Start
from service.database.engine.query import Command, Query
from service.database.observed.reports import ConnectionReport, ContactReport, TransitionReport
from tests.support.database_server import cloned_database

Statement = Query[Any] | Command
PYTHON_TYPES: dict[str, object] = {
    "bigint": int,
    "boolean": bool,
    "bytea": bytes,
    "double precision": float,
    "integer": int,
    "interval": timedelta,
    "json": bytes,
    "jsonb": dict[str, Any],
    "text": str,
    "timestamp with time zone": datetime,
    "uuid": UUID,
}
# PostgreSQL reports nullability for columns of tables only, not of views and expressions.
TYPE_AND_NULLABILITY = """
    SELECT
        format_type(%(type)s::oid, NULL),
        (
            SELECT NOT a.attnotnull
            FROM pg_attribute AS a JOIN pg_class AS c ON a.attrelid = c.oid
            WHERE c.oid = %(table)s::oid AND c.relkind = 'r' AND a.attnum = %(column)s::int2
        )
"""


def constant_statements() -> dict[str, Statement]:
    """Return every Query and Command constant of the database package, by `module.NAME`."""
    package = "service.database."
    return {
        f"{module.name.removeprefix(package)}.{name}": value
        for module in pkgutil.walk_packages(service.database.__path__, package)
        for name, value in vars(importlib.import_module(module.name)).items()
        if isinstance(value, Query | Command)
    }


def list_statements() -> dict[str, Statement]:
    """Return all list statements: every order and start, each condition alone and all together."""
    starts: tuple[Start, ...] = get_args(Start)
    of_gateways: list[gateway_lists.Conditions] = [
        *((condition,) for condition in get_args(gateway_lists.Condition)),
        get_args(gateway_lists.Condition),
    ]
    of_factories: list[factory_lists.Conditions] = [
        *((condition,) for condition in get_args(factory_lists.Condition)),
        get_args(factory_lists.Condition),
    ]
    statements: dict[str, Statement] = {}
    for some in of_gateways:
        statements[f"gateway_lists.count {some}"] = gateway_lists.count(some)
        statements[f"gateway_lists.id_batches {some}"] = gateway_lists.id_batches(some)
        for order, start in itertools.product(get_args(gateway_lists.GatewaySort), starts):
            name = f"gateway_lists.json_page {some} {order} {start}"
            for has_status in (False, True):
                rendered = gateway_lists.json_page(order, some, start, has_status=has_status)
                statements[f"{name}, rendered {has_status}"] = rendered
    for few in of_factories:
        statements[f"factory_lists.count {few}"] = factory_lists.count(few)
        for sort, start in itertools.product(get_args(factory_lists.FactorySort), starts):
            name = f"factory_lists.page {few} {sort} {start}"
            statements[name] = factory_lists.page(sort, few, start)
            statements[f"{name}, rendered"] = factory_lists.json_page(sort, few, start)
    return statements


# The functions that build statements.
BUILDERS = {
    ("gateway_lists", "json_page"),
    ("gateway_lists", "count"),
    ("gateway_lists", "id_batches"),
    ("factory_lists", "page"),
    ("factory_lists", "json_page"),
    ("factory_lists", "count"),
}
CONSTANTS = constant_statements()
STATEMENTS = CONSTANTS | list_statements()


@pytest.fixture(scope="module")
def connection(server_admin: psycopg.Connection, server_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection to a migrated database, which preparing does not change."""
    with (
        cloned_database(server_admin, server_url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield connection


def numbered(sql: str) -> bytes:
    """Return the statement as psycopg sends it to the server."""
    numbers: dict[str, int] = {}
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", sql)
    assert "%" not in text.replace("%%", ""), "a percent sign outside a parameter has to be doubled"
    return text.replace("%%", "%").encode()


def described_columns(
    connection: psycopg.Connection, statement: Statement
) -> dict[str, tuple[object, bool | None]]:
    """Return column name → Python type, and whether it may be null (None: unknown to PostgreSQL)."""
    prepared = connection.pgconn.prepare(b"checked", numbered(statement.sql))
    assert prepared.status == ExecStatus.COMMAND_OK, prepared.error_message.decode()
    shape = connection.pgconn.describe_prepared(b"checked")
    connection.execute("DEALLOCATE checked")
    columns: dict[str, tuple[object, bool | None]] = {}
    for index in range(shape.nfields):
        parameters = {
            "type": shape.ftype(index),
            "table": shape.ftable(index),
            "column": shape.ftablecol(index),
        }
        row = connection.execute(TYPE_AND_NULLABILITY, parameters).fetchone()
        assert row is not None
        name = (shape.fname(index) or b"").decode()
        assert name not in columns, f"two columns are named {name}"
        columns[name] = (PYTHON_TYPES[row[0]], row[1])
    return columns


def declared_columns(row: type[Any]) -> dict[str, tuple[object, bool]]:
    """Return field name → type, and whether it may be None."""
    return {name: without_none(kind) for name, kind in typing.get_type_hints(row).items()}


def without_none(kind: object) -> tuple[object, bool]:
    """Return the type without `| None`, and whether it had that."""
    if not isinstance(kind, UnionType):
        return kind, False
    (only,) = [part for part in kind.__args__ if part is not type(None)]
    return only, True


@pytest.mark.req("REPO-06", "QUAL-02")
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_matches_the_schema_and_its_row_type(connection: psycopg.Connection, name: str) -> None:
    statement = STATEMENTS[name]
    described = described_columns(connection, statement)
    if isinstance(statement, Command):
        assert described == {}, "a command returns no rows"
        return
    assert dataclasses.is_dataclass(statement.row)
    declared = declared_columns(statement.row)
    actual = {
        column: (kind, declared[column][1] if nullable is None and column in declared else nullable)
        for column, (kind, nullable) in described.items()
    }
    # In the same order, too: rows are built from columns by position.
    assert list(actual.items()) == list(declared.items())


# What statements take, and the parameters beside it.
INPUTS: dict[str, tuple[type[Any], set[str]]] = {
    "desired.factories.INSERT": (NewFactory, set()),
    "desired.factories.UPDATE": (FactoryChanges, {"id"}),
    "desired.gateways.INSERT": (NewGateway, set()),
    "desired.gateways.UPDATE": (GatewayChanges, {"id", "password_is_confined"}),
}


def described_parameters(connection: psycopg.Connection, statement: Statement) -> dict[str, object]:
    """Return the Python types of the statement's parameters by their names; JSON is text."""
    prepared = connection.pgconn.prepare(b"checked", numbered(statement.sql))
    assert prepared.status == ExecStatus.COMMAND_OK, prepared.error_message.decode()
    shape = connection.pgconn.describe_prepared(b"checked")
    connection.execute("DEALLOCATE checked")
    names = dict.fromkeys(re.findall(r"%\((\w+)\)s", statement.sql))
    oids = [shape.param_type(index) for index in range(shape.nparams)]
    kinds = connection.execute(
        "SELECT format_type(oid, NULL) FROM unnest(%s::oid[]) WITH ORDINALITY AS o (oid, n) ORDER BY n",
        [oids],
    )
    return {
        name: str if kind == "jsonb" else PYTHON_TYPES[kind]
        for name, (kind,) in zip(names, kinds, strict=True)
    }


@pytest.mark.req("REPO-06", "QUAL-02")
@pytest.mark.parametrize("name", INPUTS)
def test_what_a_statement_takes_matches_its_parameters(connection: psycopg.Connection, name: str) -> None:
    declared, others = INPUTS[name]
    described = described_parameters(connection, CONSTANTS[name])
    fields = {field: kind for field, (kind, _) in declared_columns(declared).items()}
    assert {parameter: described[parameter] for parameter in described.keys() - others} == fields
    assert others <= described.keys()


RECORDSETS: dict[str, type[Any]] = {
    "observed.connections.REPORT": ConnectionReport,
    "observed.connections.TOUCH": ContactReport,
    "observed.connections.RECORD_TRANSITIONS": TransitionReport,
}


@pytest.mark.req("REPO-06", "QUAL-02")
@pytest.mark.parametrize("name", RECORDSETS)
def test_what_a_statement_reads_from_json_matches_its_columns(
    connection: psycopg.Connection, name: str
) -> None:
    found = re.search(r"jsonb_to_recordset\(%\(\w+\)s\) AS (?:\w+ )?\(([^)]+)\)", CONSTANTS[name].sql)
    assert found is not None
    columns = dict(column.split() for column in found[1].split(","))
    kinds: dict[str, str] = dict(
        connection.execute(
            "SELECT kind, format_type(kind::regtype, NULL) FROM unnest(%s::text[]) AS kind",
            [list(columns.values())],
        ).fetchall()
    )
    described = {column: PYTHON_TYPES[kinds[kind]] for column, kind in columns.items()}
    fields = {field: kind for field, (kind, _) in declared_columns(RECORDSETS[name]).items()}
    assert described == fields


@pytest.mark.req("REPO-06", "QUAL-02")
def test_no_statement_escapes_the_collection() -> None:
    """Every statement is a constant of a module of the database package or made by one of BUILDERS."""
    assert len(CONSTANTS) >= 40
    places = [
        (path, node, tree)
        for package in ("service", "workers")
        for path in (PROJECT / package).rglob("*.py")
        for tree in [ast.parse(path.read_text())]
        for node in makers(tree)
    ]
    assert all(path.is_relative_to(PROJECT / "service" / "database") for path, _, _ in places), places
    built = {
        (path.stem, function.name)
        for path, node, tree in places
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and node in ast.walk(function)
    }
    assert built == BUILDERS
    assert len(places) == len(CONSTANTS) + len(BUILDERS)


def makers(tree: ast.Module) -> list[ast.Call]:
    """Return the places where a module makes statements."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"Query", "Command"}
    ]


@pytest.mark.req("REPO-02")
def test_row_types_match_the_schema(database_url: str) -> None:
    assert (PROJECT / ROWS).read_text() == render_module(read_columns(database_url))
