"""Writes service/database/rows.py from the migrated schema: one frozen dataclass a table.

`python -m devstack.checks.row_types DATABASE_URL` prints the module. Columns of type bytea and xid8 are left
out: they hold sealed values and transaction ids; statements that need one name it.
"""

import sys
from itertools import groupby
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

CLASS_NAMES = {
    "api_tokens": "ApiToken",
    "factories": "Factory",
    "gateway_connections": "GatewayConnection",
    "gateway_events": "GatewayEvent",
    "gateways": "Gateway",
    "organizations": "Organization",
    "workers": "Worker",
}

PYTHON_TYPES = {
    "bigint": "int",
    "boolean": "bool",
    "integer": "int",
    "interval": "timedelta",
    "jsonb": "dict[str, Any]",
    "text": "str",
    "timestamp with time zone": "datetime",
    "uuid": "UUID",
}

UNREAD_TYPES = {"bytea", "xid8"}

COLUMNS = """
    SELECT
        c.relname AS table_name,
        a.attname AS column_name,
        format_type(a.atttypid, NULL) AS type_name,
        a.attnotnull AS required
    FROM pg_attribute AS a
    JOIN pg_class AS c ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%(tables)s)
        AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum
"""

HEADER = '''"""Row types, generated from the migrated schema by `make types`. Do not edit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
'''


class Column(NamedTuple):
    """A column of a table, from PostgreSQL's catalog."""

    table_name: str
    column_name: str
    type_name: str
    required: bool


def read_columns(database_url: str) -> list[Column]:
    """Return the columns of all tables that have a row type, table by table."""
    with (
        psycopg.connect(database_url) as connection,
        connection.cursor(row_factory=class_row(Column)) as cursor,
    ):
        return cursor.execute(COLUMNS, {"tables": list(CLASS_NAMES)}).fetchall()


def render_module(columns: list[Column]) -> str:
    """Return the text of the module."""
    classes = [
        render_class(table_name, list(group))
        for table_name, group in groupby(columns, key=lambda column: column.table_name)
    ]
    return "\n\n".join([HEADER, *classes])


def render_class(table_name: str, columns: list[Column]) -> str:
    """Return the text of one row type."""
    fields = [
        f"    {column.column_name}: {PYTHON_TYPES[column.type_name]}{'' if column.required else ' | None'}\n"
        for column in columns
        if column.type_name not in UNREAD_TYPES
    ]
    return (
        "@dataclass(frozen=True, slots=True)\n"
        f"class {CLASS_NAMES[table_name]}:\n"
        f'    """A row of {table_name}."""\n\n' + "".join(fields)
    )


if __name__ == "__main__":
    sys.stdout.write(render_module(read_columns(sys.argv[1])))
