"""Pages of factories: narrowed down, in one of four orders. See gateway_lists for how they are planned."""

from dataclasses import dataclass
from typing import Literal

from service.database.paging import PageStart, contains
from service.database.query import Count, Query
from service.database.rows import Factory

FactorySort = Literal["name", "-name", "created_at", "-created_at"]


@dataclass(frozen=True, slots=True)
class FactoryFilter:
    """Which factories: live ones unless `is_deleted`, narrowed down by a part of the name."""

    text: str | None = None
    is_deleted: bool = False

    def parameters(self) -> dict[str, object]:
        """For the statements of this module."""
        return {"is_deleted": self.is_deleted, "pattern": contains(self.text)}


_FOUND = """
    FROM factories
    WHERE (deleted_at IS NOT NULL) = %(is_deleted)s
        AND (%(pattern)s::text IS NULL OR name ILIKE %(pattern)s::text)
"""

_PAGE = (
    """
    SELECT
        id, organization_id, name, location, timezone, metadata, created_at, updated_at, deleted_at, version
    """
    + _FOUND
    + " AND (%(after_id)s::uuid IS NULL OR "
)

PAGE_BY_NAME = Query(
    _PAGE
    + """(name, id) > (%(after_key)s::text, %(after_id)s::uuid))
    ORDER BY name, id
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    Factory,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_NAME_DOWN = Query(
    _PAGE
    + """(name, id) < (%(after_key)s::text, %(after_id)s::uuid))
    ORDER BY name DESC, id DESC
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    Factory,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_CREATION = Query(
    _PAGE
    + """(created_at, id) > (%(after_key)s::timestamptz, %(after_id)s::uuid))
    ORDER BY created_at, id
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    Factory,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_CREATION_DOWN = Query(
    _PAGE
    + """(created_at, id) < (%(after_key)s::timestamptz, %(after_id)s::uuid))
    ORDER BY created_at DESC, id DESC
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    Factory,
    reads_only=True,
    is_planned_anew=True,
)

COUNT = Query("SELECT count(*) AS count" + _FOUND, Count, reads_only=True, is_planned_anew=True)

PAGES: dict[FactorySort, Query[Factory]] = {
    "name": PAGE_BY_NAME,
    "-name": PAGE_BY_NAME_DOWN,
    "created_at": PAGE_BY_CREATION,
    "-created_at": PAGE_BY_CREATION_DOWN,
}


def page_parameters(start: PageStart, limit: int, which: FactoryFilter) -> dict[str, object]:
    """For a statement of PAGES."""
    return {**which.parameters(), **start.parameters(), "limit": limit}
