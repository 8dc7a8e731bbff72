"""Factories: desired state, written by the API."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from service.database.desired import factory_lists, json_rows
from service.database.desired.factory_lists import FactoryFilter, FactorySort
from service.database.desired.json_rows import JsonPage, JsonRow, JsonUpdate
from service.database.desired.values import FactoryChanges, NewFactory
from service.database.engine.paging import PageStart, Total
from service.database.engine.query import Command, Executor, Query, Row, required
from service.database.rows import Factory
from service.errors import FactoryNotFoundError

_COLUMNS = """
    id, organization_id, name, location, timezone, metadata, created_at, updated_at, deleted_at, version
"""
_JSON = "f.id, f.version," + json_rows.FACTORY

_INSERT = """
    INSERT INTO factories AS f (organization_id, name, location, timezone, metadata)
    VALUES (
        coalesce(%(organization_id)s::uuid, '00000000-0000-7000-8000-000000000001'),
        %(name)s, %(location)s, %(timezone)s, %(metadata)s
    )
    RETURNING
"""
INSERT = Query(_INSERT + _JSON, JsonRow)

_FIND_BY_ID = " FROM factories AS f WHERE f.id = %(id)s AND f.deleted_at IS NULL"
FIND_BY_ID = Query("SELECT" + _COLUMNS + _FIND_BY_ID, Factory, retryable=True)
FIND_JSON_BY_ID = Query("SELECT " + _JSON + _FIND_BY_ID, JsonRow, retryable=True)

FIND_BY_IDS = Query(
    "SELECT" + _COLUMNS + " FROM factories AS f WHERE f.id = ANY(%(ids)s::uuid[]) AND f.deleted_at IS NULL",
    Factory,
    retryable=True,
)

# Keeps it as it is for the rest of the transaction, while a condition is held against it.
LOCK_BY_ID = Query("SELECT" + _COLUMNS + _FIND_BY_ID + " FOR NO KEY UPDATE", Factory)

# A field that the caller does not name keeps its value, whatever that is at this moment.
_UPDATE = """
    UPDATE factories AS f SET
        organization_id = coalesce(%(organization_id)s::uuid, organization_id),
        name = coalesce(%(name)s, name),
        location = CASE WHEN %(set_location)s THEN %(location)s ELSE location END,
        timezone = coalesce(%(timezone)s, timezone),
        metadata = coalesce(%(metadata)s, metadata)
    WHERE id = %(id)s AND deleted_at IS NULL
    RETURNING
"""
UPDATE = Query(_UPDATE + _JSON + json_rows.IS_CHANGED, JsonUpdate)

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

    def create(self, factory: NewFactory) -> JsonRow:
        """Raises OrganizationUnknownError."""
        return required(self._executor.fetch_one(INSERT, asdict(factory)))

    def find_by_id(self, factory_id: UUID) -> Factory:
        """Raises FactoryNotFoundError."""
        return _found(self._executor.fetch_one(FIND_BY_ID, {"id": factory_id}))

    def find_by_ids(self, factory_ids: Collection[UUID]) -> Mapping[UUID, Factory]:
        """Those that there are, by id."""
        found = self._executor.fetch_all(FIND_BY_IDS, {"ids": list(factory_ids)}) if factory_ids else []
        return {factory.id: factory for factory in found}

    def find_json(self, factory_id: UUID) -> JsonRow:
        """As `find_by_id`."""
        return _found(self._executor.fetch_one(FIND_JSON_BY_ID, {"id": factory_id}))

    def find_all(
        self,
        start: PageStart,
        limit: int,
        which: FactoryFilter = EVERY_LIVE_ONE,
        sort: FactorySort = "name",
    ) -> Sequence[Factory]:
        """At most `limit` (and MOST_ROWS) factories, ordered by `sort` (downwards with a minus), then id."""
        query = factory_lists.page(sort, which.conditions, start.kind)
        return self._executor.fetch_all(query, factory_lists.page_parameters(start, limit, which))

    def list_json(
        self,
        start: PageStart,
        limit: int,
        which: FactoryFilter = EVERY_LIVE_ONE,
        sort: FactorySort = "name",
    ) -> JsonPage:
        """As `find_all` and `count`."""
        query = factory_lists.json_page(sort, which.conditions, start.kind)
        items = self._executor.fetch_all(query, factory_lists.page_parameters(start, limit, which))
        # An empty page tells nothing of the others.
        total = items[0].total if items else self.count(which)
        return JsonPage.of(items, Total.counted(total))

    def count(self, which: FactoryFilter = EVERY_LIVE_ONE) -> int:
        """How many there are, up to one more than MOST_COUNTED."""
        query = factory_lists.count(which.conditions)
        return required(self._executor.fetch_one(query, which.parameters())).count

    def update(
        self, factory_id: UUID, changes: FactoryChanges, check: Callable[[Factory], None] | None = None
    ) -> JsonUpdate:
        """Changes what is named and leaves the rest.

        `check` is shown the row as it is and stays until then, and may raise: that takes a transaction.
        Raises FactoryNotFoundError, OrganizationUnknownError.
        """
        self._check(factory_id, check)
        return _found(self._executor.fetch_one(UPDATE, {"id": factory_id, **asdict(changes)}))

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


def _found(row: Row | None) -> Row:
    if row is None:
        raise FactoryNotFoundError
    return row
