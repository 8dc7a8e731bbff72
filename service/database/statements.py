"""Statements on one connection: prepared by the server at their first use, and called by name from then on.

This is beneath psycopg's cursors, which take twice as long for a short statement; its adapters, errors and
waits are used as they are.
"""

from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.adapt import Buffer, Loader, PyFormat, Transformer
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from service.database.numbered import Numbered, numbered
from service.database.query import Command, Parameters, Query, Row

_KEPT_WITH_CONNECTION = "millgate_statements"
_DONE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)

# The server has forgotten the name (DISCARD ALL, or another session behind a pooler), or a migration changed
# what the statement returns. It says so before it does anything.
_OUTDATED = (pg.InvalidSqlStatementName, pg.FeatureNotSupported)


class RenderedLoader(Loader):
    """JSON that PostgreSQL rendered stays as it is. What is stored, and to be read, is jsonb."""

    def load(self, data: Buffer) -> bytes:
        """See psycopg."""
        return bytes(data)


class Statements:
    """The statements of one connection. One thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        connection.adapters.register_loader("json", RenderedLoader)
        self._connection = connection
        self._transformer = Transformer(connection)
        self._known: set[bytes] = set()

    def fetch(self, query: Query[Row], parameters: Parameters) -> list[Row]:
        """All rows. Raises psycopg.Error."""
        result = self._run(query.sql, parameters, is_planned_anew=query.is_planned_anew)
        self._transformer.set_pgresult(result)
        make = query.row
        return self._transformer.load_rows(0, result.ntuples, lambda values: make(*values))

    def execute(self, command: Command, parameters: Parameters) -> int:
        """How many rows it touched. Raises psycopg.Error."""
        return self._run(command.sql, parameters, is_planned_anew=command.is_planned_anew).command_tuples or 0

    def _run(self, sql: str, parameters: Parameters, *, is_planned_anew: bool) -> PGresult:
        statement = numbered(sql)
        values = statement.values(parameters)
        # As text, which the server reads as whatever type the statement has there.
        dumped = self._transformer.dump_sequence(values, [PyFormat.TEXT] * len(values))
        pgconn = self._connection.pgconn
        if is_planned_anew:
            pgconn.send_query_params(statement.sql, dumped)
            return self._receive()
        is_new = statement.name not in self._known
        if is_new:
            self._prepare(statement)
        try:
            pgconn.send_query_prepared(statement.name, dumped)
            return self._receive()
        except _OUTDATED:
            self._known.clear()
            if is_new or pgconn.transaction_status != TransactionStatus.IDLE:
                raise
        # Whether it is there or not.
        pgconn.send_close_prepared(statement.name)
        self._receive()
        return self._run(sql, parameters, is_planned_anew=False)

    def _prepare(self, statement: Numbered) -> None:
        try:
            self._connection.pgconn.send_prepare(statement.name, statement.sql)
            self._receive()
        except pg.DuplicatePreparedStatement:
            # By another connection with which this one shares the session: the name says that it is the same.
            pass
        self._known.add(statement.name)

    def _receive(self) -> PGresult:
        result: PGresult = self._connection.wait(execute(self._connection.pgconn))[-1]
        if result.status not in _DONE:
            raise pg.error_from_result(result)
        return result


def statements_of(connection: psycopg.Connection[Any]) -> Statements:
    """Those of this connection, which keeps them."""
    kept: Statements | None = vars(connection).get(_KEPT_WITH_CONNECTION)
    if kept is None:
        kept = vars(connection)[_KEPT_WITH_CONNECTION] = Statements(connection)
    return kept
