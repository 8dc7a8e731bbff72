"""The one cursor of a connection: to keep it saves a third of what a short statement costs."""

from typing import Any, LiteralString

import psycopg
from psycopg import errors as pg
from psycopg.adapt import Buffer, Loader
from psycopg.rows import args_row

from service.database.engine.query import Command, Parameters, Query, Row

_KEPT_WITH_CONNECTION = "millgate_cursor"
# The server has forgotten the statement's name (DISCARD ALL, another session behind a pooler), or a migration
# changed what the statement returns. It says so before it does anything.
OUTDATED = (pg.InvalidSqlStatementName, pg.FeatureNotSupported)
# More than there are statements, in all the types of their parameters.
_MOST_PREPARED = 1000


class JsonTextLoader(Loader):
    """JSON that PostgreSQL rendered stays as it is. What is stored, and to be read, is jsonb."""

    def load(self, data: Buffer) -> bytes:
        """See psycopg."""
        return bytes(data)


def fetch(connection: psycopg.Connection[Any], query: Query[Row], parameters: Parameters) -> list[Row]:
    """All rows. One thread at a time. Raises psycopg.Error."""
    cursor = _cursor_of(connection)
    cursor.row_factory = args_row(query.row)
    _run(cursor, query.sql, parameters, prepare=not query.custom_plan)
    rows: list[Row] = cursor.fetchall()
    return rows


def execute(connection: psycopg.Connection[Any], command: Command, parameters: Parameters) -> int:
    """How many rows it touched. One thread at a time. Raises psycopg.Error."""
    cursor = _cursor_of(connection)
    _run(cursor, command.sql, parameters, prepare=not command.custom_plan)
    return max(0, cursor.rowcount)


def _run(cursor: psycopg.Cursor[Any], sql: LiteralString, parameters: Parameters, *, prepare: bool) -> None:
    try:
        cursor.execute(sql, parameters, prepare=prepare)
    except OUTDATED:
        # psycopg takes the statement for prepared as long as the connection lasts.
        cursor.connection.close()
        raise


def _cursor_of(connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    kept: psycopg.Cursor[Any] | None = vars(connection).get(_KEPT_WITH_CONNECTION)
    if kept is None:
        connection.adapters.register_loader("json", JsonTextLoader)
        connection.prepared_max = _MOST_PREPARED
        kept = vars(connection)[_KEPT_WITH_CONNECTION] = connection.cursor()
    return kept
