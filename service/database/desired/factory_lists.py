"""Pages of factories: narrowed down, in one of four orders. See gateway_lists for how they are planned."""

from dataclasses import dataclass
from functools import cache
from typing import Literal, LiteralString

from service.database.desired import json_rows
from service.database.desired.json_rows import JsonItem
from service.database.engine.paging import Order, PageStart, Start, contains, counted, rows_of_page
from service.database.engine.query import Count, Query
from service.database.rows import Factory

FactorySort = Literal["name", "-name", "created_at", "-created_at"]
Condition = Literal["live", "deleted", "text"]
Conditions = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class FactoryFilter:
    """Which factories: live ones unless `is_deleted`, narrowed down by a part of the name."""

    text: str | None = None
    is_deleted: bool = False

    @property
    def conditions(self) -> Conditions:
        """What is asked for."""
        return ("deleted" if self.is_deleted else "live", *(("text",) if self.text is not None else ()))

    def parameters(self) -> dict[str, object]:
        """For the statements of this module."""
        return {"pattern": contains(self.text)}


_CONDITIONS: dict[Condition, LiteralString] = {
    "live": "f.deleted_at IS NULL",
    "deleted": "f.deleted_at IS NOT NULL",
    "text": "f.name ILIKE %(pattern)s::text",
}
_ORDERS: dict[FactorySort, Order] = {
    "name": Order("f.name", "f.id", "text"),
    "-name": Order("f.name", "f.id", "text", is_down=True),
    "created_at": Order("f.created_at", "f.id", "timestamptz"),
    "-created_at": Order("f.created_at", "f.id", "timestamptz", is_down=True),
}
_FROM: LiteralString = " FROM factories AS f"
_COLUMNS: LiteralString = """
    f.id, f.organization_id, f.name, f.location, f.timezone, f.metadata, f.created_at, f.updated_at,
    f.deleted_at, f.version
"""


@cache
def page(sort: FactorySort, conditions: Conditions, start: Start) -> Query[Factory]:
    """A page, as rows."""
    return Query(
        "SELECT" + _COLUMNS + _of_page(sort, conditions, start),
        Factory,
        retryable=True,
        custom_plan=_needs_custom_plan(conditions, start),
    )


@cache
def json_page(sort: FactorySort, conditions: Conditions, start: Start) -> Query[JsonItem]:
    """A page, as JSON."""
    return Query(
        "SELECT"
        + _total(conditions)
        + " AS total, NULL::text AS place,"
        + json_rows.FACTORY
        + _of_page(sort, conditions, start),
        JsonItem,
        retryable=True,
        custom_plan=_needs_custom_plan(conditions, start),
    )


@cache
def count(conditions: Conditions) -> Query[Count]:
    """How many there are, as far as they are counted."""
    return Query("SELECT" + _total(conditions) + " AS count", Count, retryable=True)


def page_parameters(start: PageStart, limit: int, which: FactoryFilter) -> dict[str, object]:
    """For a page."""
    return {**which.parameters(), **start.parameters(), "limit": limit}


def _of_page(sort: FactorySort, conditions: Conditions, start: Start) -> LiteralString:
    # What is shown of a row is made of the rows of the page alone.
    order = _ORDERS[sort]
    found = rows_of_page("SELECT f.*" + _FROM, _words(conditions), order, start)
    return " FROM (" + found + ") AS f" + order.clause() + " LIMIT %(limit)s"


def _total(conditions: Conditions) -> LiteralString:
    return counted(_FROM, _words(conditions))


def _words(conditions: Conditions) -> tuple[LiteralString, ...]:
    return tuple(_CONDITIONS[condition] for condition in conditions)


def _needs_custom_plan(conditions: Conditions, start: Start) -> bool:
    return conditions != ("live",) or start == "offset"
