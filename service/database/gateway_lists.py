"""Pages of gateways: narrowed down, in one of six orders, read from an index or in one pass at most.

Each statement takes every filter; one that is not given is NULL. PostgreSQL plans it anew each time, knowing
what is NULL, so that what is not asked for costs nothing and each combination gets its own index.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from service.database.paging import PageStart, contains
from service.database.query import Count, Query
from service.database.rows import Gateway

GatewaySort = Literal["name", "-name", "created_at", "-created_at", "last_seen_at", "-last_seen_at"]
_COMPUTED_STATES = ("disconnected", "unknown")


@dataclass(frozen=True, slots=True)
class GatewayFilter:
    """Which gateways: live ones unless `is_deleted`, narrowed down by whatever is not None."""

    factory_id: UUID | None = None
    state: str | None = None
    desired_state: str | None = None
    text: str | None = None
    """Occurs in the name or in the gateway_id, in whatever case."""
    is_deleted: bool = False

    def parameters(self) -> dict[str, object]:
        """For the statements of this module."""
        return {
            "is_deleted": self.is_deleted,
            "factory_id": self.factory_id,
            "desired_state": self.desired_state,
            "pattern": contains(self.text),
            "state": self.state,
            # What a worker wrote is found by index; what is computed is not.
            "stored_state": None if self.state in _COMPUTED_STATES else self.state,
        }


@dataclass(frozen=True, slots=True)
class ListedGateway(Gateway):
    """A gateway in a list: as it should be, and when it was last heard of."""

    last_seen_at: datetime | None


# The state is the one of the view gateway_statuses, but each worker is looked at once. What ends a worker
# frees what it held, so that those that have not ended are all that matter.
_FOUND = """
    FROM gateways AS g
    LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
    WHERE (g.deleted_at IS NOT NULL) = %(is_deleted)s
        AND (%(factory_id)s::uuid IS NULL OR g.factory_id = %(factory_id)s::uuid)
        AND (%(desired_state)s::text IS NULL OR g.desired_state = %(desired_state)s::text)
        AND (
            %(pattern)s::text IS NULL
            OR g.name ILIKE %(pattern)s::text OR g.gateway_id ILIKE %(pattern)s::text
        )
        AND (%(stored_state)s::text IS NULL OR c.state = %(stored_state)s::text)
        AND (
            %(stored_state)s::text IS NULL
            OR c.worker_id = ANY(ARRAY(
                SELECT w.id FROM workers AS w WHERE w.ended_at IS NULL AND worker_is_live(w)
            ))
        )
        AND (
            %(state)s::text IS DISTINCT FROM 'unknown'
            OR c.worker_id = ANY(ARRAY(
                SELECT w.id FROM workers AS w WHERE w.ended_at IS NULL AND NOT worker_is_live(w)
            ))
        )
        AND (
            %(state)s::text IS DISTINCT FROM 'disconnected'
            OR c.worker_id IS NULL
            OR (
                c.state = 'disconnected'
                AND c.worker_id = ANY(ARRAY(
                    SELECT w.id FROM workers AS w WHERE w.ended_at IS NULL AND worker_is_live(w)
                ))
            )
        )
"""

_PAGE = (
    """
    SELECT
        g.id, g.factory_id, g.gateway_id, g.name, g.model, g.firmware_version, g.url, g.email,
        g.desired_state, g.connect_requested_at, g.generation, g.metadata, g.created_at, g.updated_at,
        g.deleted_at, g.version, g.deleted_with_factory, c.last_seen_at
    """
    + _FOUND
    + " AND (%(after_id)s::uuid IS NULL OR "
)

PAGE_BY_NAME = Query(
    _PAGE
    + """(g.name, g.id) > (%(after_key)s::text, %(after_id)s::uuid))
    ORDER BY g.name, g.id
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_NAME_DOWN = Query(
    _PAGE
    + """(g.name, g.id) < (%(after_key)s::text, %(after_id)s::uuid))
    ORDER BY g.name DESC, g.id DESC
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_CREATION = Query(
    _PAGE
    + """(g.created_at, g.id) > (%(after_key)s::timestamptz, %(after_id)s::uuid))
    ORDER BY g.created_at, g.id
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_CREATION_DOWN = Query(
    _PAGE
    + """(g.created_at, g.id) < (%(after_key)s::timestamptz, %(after_id)s::uuid))
    ORDER BY g.created_at DESC, g.id DESC
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)

# What was never heard of comes first. No index: each of the writes that keep last_seen_at fresh would have to
# change it. This is one pass and the best few of it.
PAGE_BY_LAST_SEEN = Query(
    _PAGE
    + """(coalesce(c.last_seen_at, '-infinity'), g.id) > (%(after_key)s::timestamptz, %(after_id)s::uuid))
    ORDER BY coalesce(c.last_seen_at, '-infinity'), g.id
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_LAST_SEEN_DOWN = Query(
    _PAGE
    + """(coalesce(c.last_seen_at, '-infinity'), g.id) < (%(after_key)s::timestamptz, %(after_id)s::uuid))
    ORDER BY coalesce(c.last_seen_at, '-infinity') DESC, g.id DESC
    LIMIT %(limit)s OFFSET %(offset)s
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)

COUNT = Query("SELECT count(*) AS count" + _FOUND, Count, reads_only=True, is_planned_anew=True)

PAGES: dict[GatewaySort, Query[ListedGateway]] = {
    "name": PAGE_BY_NAME,
    "-name": PAGE_BY_NAME_DOWN,
    "created_at": PAGE_BY_CREATION,
    "-created_at": PAGE_BY_CREATION_DOWN,
    "last_seen_at": PAGE_BY_LAST_SEEN,
    "-last_seen_at": PAGE_BY_LAST_SEEN_DOWN,
}


def page_parameters(start: PageStart, limit: int, which: GatewayFilter) -> dict[str, object]:
    """For a statement of PAGES."""
    return {**which.parameters(), **start.parameters(), "limit": limit}
