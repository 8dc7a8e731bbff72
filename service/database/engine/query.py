"""A statement and the type of its rows, side by side, so that a test can hold one against the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, LiteralString, Protocol, TypeVar
from uuid import UUID

Row = TypeVar("Row")
Parameters = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Query(Generic[Row]):
    """SQL with `%(name)s` parameters. Its columns are the fields of `row`, name by name and type by type."""

    sql: LiteralString
    row: type[Row]
    retryable: bool = False
    """Running it twice does no more than running it once, so a lost connection is worth a second try."""
    custom_plan: bool = False
    """The best plan depends on the parameters, or on how far a table has grown: make one each time."""


@dataclass(frozen=True, slots=True)
class Command:
    """SQL with `%(name)s` parameters that returns no rows."""

    sql: LiteralString
    custom_plan: bool = False
    """As a query's."""


class Executor(Protocol):
    """What repositories run statements on: the database (each on its own), or one transaction of it."""

    def fetch_one(self, query: Query[Row], parameters: Parameters) -> Row | None:
        """The first row, or None. Raises DatabaseError."""

    def fetch_all(self, query: Query[Row], parameters: Parameters) -> list[Row]:
        """All rows. Raises DatabaseError."""

    def execute(self, command: Command, parameters: Parameters) -> int:
        """Runs it and returns how many rows it touched. Raises DatabaseError."""


def required(row: Row | None) -> Row:
    """The row of a statement that always returns one (an aggregate, an INSERT … RETURNING)."""
    if row is None:
        raise AssertionError("a statement that always returns a row returned none")
    return row


@dataclass(frozen=True, slots=True)
class Id:
    """The id of a row."""

    id: UUID


@dataclass(frozen=True, slots=True)
class GatewayId:
    """The id of a gateway, in a row of another table."""

    gateway_id: UUID


@dataclass(frozen=True, slots=True)
class Count:
    """The row of a statement that counts."""

    count: int
