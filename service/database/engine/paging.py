"""Pages of a list: where one begins, how its statement is put together, and how far a list is counted."""

import re
from dataclasses import dataclass
from typing import Literal, LiteralString
from uuid import UUID

MOST_ROWS = 101
"""Of a page, with the one behind it that tells whether there is another page."""
MOST_COUNTED = 10_000
"""So many rows are counted; what a longer list has is not known, so that asking does not cost more."""

Start = Literal["first", "behind", "offset"]
_SPECIAL = re.compile(r"([\\%_])")


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where a page begins: after `rows_skipped` rows, or behind the row with this key and id.

    The key is what the list is ordered by, as PostgreSQL reads it.
    """

    rows_skipped: int = 0
    after: tuple[str, UUID] | None = None

    @property
    def kind(self) -> Start:
        """What its statement has to do."""
        if self.after is not None:
            return "behind"
        return "offset" if self.rows_skipped else "first"

    def parameters(self) -> dict[str, object]:
        """For a statement that takes any of them."""
        key, row_id = self.after or (None, None)
        return {"after_key": key, "after_id": row_id, "offset": self.rows_skipped}


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows a list has, or, unless it is exact, how many it has at least."""

    rows: int
    is_exact: bool = True

    @classmethod
    def counted(cls, rows: int) -> "Total":
        """From a count that stops behind MOST_COUNTED."""
        return cls(min(rows, MOST_COUNTED), is_exact=rows <= MOST_COUNTED)


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is ordered by: an expression of this type, then the id."""

    key: LiteralString
    row_id: LiteralString
    kind: LiteralString
    is_down: bool = False

    def clause(self) -> LiteralString:
        """ORDER BY."""
        down = " DESC" if self.is_down else ""
        return " ORDER BY " + self.key + down + ", " + self.row_id + down

    def behind(self) -> LiteralString:
        """The condition for what follows the row with a key and an id."""
        place = "(%(after_key)s::" + self.kind + ", %(after_id)s::uuid)"
        return "(" + self.key + ", " + self.row_id + ")" + (" < " if self.is_down else " > ") + place


def where(conditions: tuple[LiteralString, ...]) -> LiteralString:
    """WHERE, for all of them."""
    return " WHERE " + " AND ".join(conditions)


def rows_of_page(
    select: LiteralString, conditions: tuple[LiteralString, ...], order: Order, start: Start
) -> LiteralString:
    """At most MOST_ROWS rows: the number is a part of the statement, since the best plan depends on it."""
    behind = (order.behind(),) if start == "behind" else ()
    offset = " OFFSET %(offset)s" if start == "offset" else ""
    return select + where(conditions + behind) + order.clause() + f" LIMIT {MOST_ROWS}" + offset


def counted(source: LiteralString, conditions: tuple[LiteralString, ...]) -> LiteralString:
    """A subquery for the number of rows, up to one more than MOST_COUNTED."""
    rows = "(SELECT" + source + where(conditions) + f" LIMIT {MOST_COUNTED + 1}) AS counted"
    return "(SELECT count(*) FROM " + rows + ")"  # noqa: S608 - of fragments of ours


def contains(text: str | None) -> str | None:
    """The pattern of LIKE for what contains this text, character by character."""
    return None if text is None else "%" + _SPECIAL.sub(r"\\\1", text) + "%"
