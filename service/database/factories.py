"""Factories: desired state, written by the API."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from service.database import factory_lists
from service.database.factory_lists import FactoryFilter, FactorySort
from service.database.paging import PageStart
from service.database.query import Command, Executor, Query, required
from service.database.rows import Factory
from service.errors import FactoryNotFoundError

INSERT = Query(
    """
    INSERT INTO factories (organization_id, name, location, timezone, metadata)
    VALUES (
        coalesce(%(organization_id)s::uuid, '00000000-0000-7000-8000-000000000001'),
        %(name)s, %(location)s, %(timezone)s, %(metadata)s
    )
    RETURNING
        id, organization_id, name, location, timezone, metadata, created_at, updated_at, deleted_at, version
    """,
    Factory,
)

FIND_BY_ID = Query(
    """
    SELECT
        id, organization_id, name, location, timezone, metadata, created_at, updated_at, deleted_at, version
    FROM factories
    WHERE id = %(id)s AND deleted_at IS NULL
    """,
    Factory,
    reads_only=True,
)

# Keeps it as it is for the rest of the transaction, while a condition is held against it.
LOCK_BY_ID = Query(
    """
    SELECT
        id, organization_id, name, location, timezone, metadata, created_at, updated_at, deleted_at, version
    FROM factories
    WHERE id = %(id)s AND deleted_at IS NULL
    FOR NO KEY UPDATE
    """,
    Factory,
)

# A field that the caller does not name keeps its value, whatever that is at this moment.
UPDATE = Query(
    """
    UPDATE factories SET
        organization_id = coalesce(%(organization_id)s::uuid, organization_id),
        name = coalesce(%(name)s, name),
        location = CASE WHEN %(set_location)s THEN %(location)s ELSE location END,
        timezone = coalesce(%(timezone)s, timezone),
        metadata = coalesce(%(metadata)s, metadata)
    WHERE id = %(id)s AND deleted_at IS NULL
    RETURNING
        id, organization_id, name, location, timezone, metadata, created_at, updated_at, deleted_at, version
    """,
    Factory,
)

SOFT_DELETE = Command("UPDATE factories SET deleted_at = now() WHERE id = %(id)s AND deleted_at IS NULL")

SOFT_DELETE_GATEWAYS = Command(
    """
    UPDATE gateways SET deleted_at = now(), deleted_with_factory = TRUE
    WHERE factory_id = %(id)s AND deleted_at IS NULL
    """
)

EVERY_LIVE_ONE = FactoryFilter()


class FactoryRepository:
    """Live factories only, unless a method says otherwise. Runs on the database or inside a transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create(self, values: Mapping[str, Any]) -> Factory:
        """`values`: name, and any of organization_id, location, timezone, metadata.

        Raises OrganizationUnknownError.
        """
        return required(
            self._executor.fetch_one(
                INSERT,
                {
                    "organization_id": values.get("organization_id"),
                    "name": values["name"],
                    "location": values.get("location"),
                    "timezone": values.get("timezone", "UTC"),
                    "metadata": Jsonb(values.get("metadata", {})),
                },
            )
        )

    def find_by_id(self, factory_id: UUID) -> Factory:
        """Raises FactoryNotFoundError."""
        return _found(self._executor.fetch_one(FIND_BY_ID, {"id": factory_id}))

    def find_all(
        self,
        start: PageStart,
        limit: int,
        which: FactoryFilter = EVERY_LIVE_ONE,
        sort: FactorySort = "name",
    ) -> Sequence[Factory]:
        """At most `limit` factories, ordered by `sort` (downwards with a minus), then id."""
        return self._executor.fetch_all(
            factory_lists.PAGES[sort], factory_lists.page_parameters(start, limit, which)
        )

    def count(self, which: FactoryFilter = EVERY_LIVE_ONE) -> int:
        """How many there are."""
        return required(self._executor.fetch_one(factory_lists.COUNT, which.parameters())).count

    def update(
        self, factory_id: UUID, changes: Mapping[str, Any], check: Callable[[Factory], None] | None = None
    ) -> Factory:
        """Changes the fields that are named and leaves the rest.

        `check` is shown the row as it is and stays until then, and may raise: that takes a transaction.
        Raises FactoryNotFoundError, OrganizationUnknownError.
        """
        self._check(factory_id, check)
        row = self._executor.fetch_one(
            UPDATE,
            {
                "id": factory_id,
                "organization_id": changes.get("organization_id"),
                "name": changes.get("name"),
                "set_location": "location" in changes,
                "location": changes.get("location"),
                "timezone": changes.get("timezone"),
                "metadata": Jsonb(changes["metadata"]) if "metadata" in changes else None,
            },
        )
        return _found(row)

    def soft_delete(self, factory_id: UUID, check: Callable[[Factory], None] | None = None) -> None:
        """Deletes it and its gateways; call it inside a transaction. Raises FactoryNotFoundError.

        `check` is as for `update`.
        """
        self._check(factory_id, check)
        if self._executor.execute(SOFT_DELETE, {"id": factory_id}) == 0:
            raise FactoryNotFoundError
        self._executor.execute(SOFT_DELETE_GATEWAYS, {"id": factory_id})

    def _check(self, factory_id: UUID, check: Callable[[Factory], None] | None) -> None:
        if check is not None:
            check(_found(self._executor.fetch_one(LOCK_BY_ID, {"id": factory_id})))


def _found(factory: Factory | None) -> Factory:
    if factory is None:
        raise FactoryNotFoundError
    return factory
