"""Pages of gateways: narrowed down, in one of six orders, read from an index or in one pass at most.

Each statement takes every filter; one that is not given is NULL. PostgreSQL plans it anew each time, knowing
what is NULL, so that what is not asked for costs nothing and each combination gets its own index.
"""

from collections.abc import Sequence
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
class WorkerLife:
    """A worker that has not ended, and whether its word counts."""

    id: UUID
    is_live: bool


# So few that the best plan for a list by state is made knowing them.
FIND_WORKERS = Query(
    "SELECT id, worker_is_live(workers) AS is_live FROM workers WHERE ended_at IS NULL",
    WorkerLife,
    reads_only=True,
)


@dataclass(frozen=True, slots=True)
class GatewayFilter:
    """Which gateways: live ones unless `is_deleted`, narrowed down by whatever is not None."""

    factory_id: UUID | None = None
    state: str | None = None
    desired_state: str | None = None
    text: str | None = None
    """Occurs in the name or in the gateway_id, in whatever case."""
    is_deleted: bool = False

    def parameters(self, workers: Sequence[WorkerLife] = ()) -> dict[str, object]:
        """For the statements of this module; a state takes the workers that there are."""
        return {
            "is_deleted": self.is_deleted,
            "factory_id": self.factory_id,
            "desired_state": self.desired_state,
            "pattern": contains(self.text),
            "state": self.state,
            # What a worker wrote is found by index; what is computed is not.
            "stored_state": None if self.state in _COMPUTED_STATES else self.state,
            "live_workers": [worker.id for worker in workers if worker.is_live],
            "lost_workers": [worker.id for worker in workers if not worker.is_live],
        }


@dataclass(frozen=True, slots=True)
class ListedGateway(Gateway):
    """A gateway in a list: as it should be, and when it was last heard of."""

    last_seen_at: datetime | None


# The state is the one of the view gateway_statuses, but each worker was looked at once, before. What ends a
# worker frees what it held, so that those that have not ended are all that matter.
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
        AND (
            %(stored_state)s::text IS NULL
            OR (c.state = %(stored_state)s::text AND c.worker_id = ANY(%(live_workers)s::uuid[]))
        )
        AND (
            %(state)s::text IS DISTINCT FROM 'unknown' OR c.worker_id = ANY(%(lost_workers)s::uuid[])
        )
        AND (
            %(state)s::text IS DISTINCT FROM 'disconnected'
            OR c.worker_id IS NULL
            OR (c.state = 'disconnected' AND c.worker_id = ANY(%(live_workers)s::uuid[]))
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
# change it. This is one pass over two narrow columns; the rows themselves are fetched for the page alone.
_ROWS_OF_PAGE = """
    SELECT
        g.id, g.factory_id, g.gateway_id, g.name, g.model, g.firmware_version, g.url, g.email,
        g.desired_state, g.connect_requested_at, g.generation, g.metadata, g.created_at, g.updated_at,
        g.deleted_at, g.version, g.deleted_with_factory, page.last_seen_at
    FROM (SELECT g.id, c.last_seen_at
"""

PAGE_BY_LAST_SEEN = Query(
    _ROWS_OF_PAGE
    + _FOUND
    + """
        AND (
            %(after_id)s::uuid IS NULL
            OR (coalesce(c.last_seen_at, '-infinity'), g.id)
                > (%(after_key)s::timestamptz, %(after_id)s::uuid)
        )
        ORDER BY coalesce(c.last_seen_at, '-infinity'), g.id
        LIMIT %(limit)s OFFSET %(offset)s
    ) AS page
    JOIN gateways AS g ON page.id = g.id
    ORDER BY coalesce(page.last_seen_at, '-infinity'), g.id
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)

PAGE_BY_LAST_SEEN_DOWN = Query(
    _ROWS_OF_PAGE
    + _FOUND
    + """
        AND (
            %(after_id)s::uuid IS NULL
            OR (coalesce(c.last_seen_at, '-infinity'), g.id)
                < (%(after_key)s::timestamptz, %(after_id)s::uuid)
        )
        ORDER BY coalesce(c.last_seen_at, '-infinity') DESC, g.id DESC
        LIMIT %(limit)s OFFSET %(offset)s
    ) AS page
    JOIN gateways AS g ON page.id = g.id
    ORDER BY coalesce(page.last_seen_at, '-infinity') DESC, g.id DESC
    """,
    ListedGateway,
    reads_only=True,
    is_planned_anew=True,
)


@dataclass(frozen=True, slots=True)
class FoundId:
    """The id of a gateway that was found."""

    id: UUID


# All of them, whatever their number: for what is to be done to each.
FIND_IDS = Query("SELECT g.id" + _FOUND + " ORDER BY g.id", FoundId, reads_only=True, is_planned_anew=True)

COUNT = Query("SELECT count(*) AS count" + _FOUND, Count, reads_only=True, is_planned_anew=True)

PAGES: dict[GatewaySort, Query[ListedGateway]] = {
    "name": PAGE_BY_NAME,
    "-name": PAGE_BY_NAME_DOWN,
    "created_at": PAGE_BY_CREATION,
    "-created_at": PAGE_BY_CREATION_DOWN,
    "last_seen_at": PAGE_BY_LAST_SEEN,
    "-last_seen_at": PAGE_BY_LAST_SEEN_DOWN,
}


def page_parameters(
    start: PageStart, limit: int, which: GatewayFilter, workers: Sequence[WorkerLife] = ()
) -> dict[str, object]:
    """For a statement of PAGES."""
    return {**which.parameters(workers), **start.parameters(), "limit": limit}
