"""Gateways as they should be: desired state, written by the API, read by workers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from service.database import gateway_lists
from service.database.gateway_lists import GatewayFilter, GatewaySort, ListedGateway, WorkerLife
from service.database.paging import PageStart
from service.database.query import Command, Count, Executor, Query, required
from service.database.rows import Gateway
from service.errors import FactoryUnknownError, GatewayNotFoundError


@dataclass(frozen=True, slots=True)
class NewId:
    """An id for a row that is not there yet."""

    id: UUID


@dataclass(frozen=True, slots=True)
class HeldGateway:
    """A gateway that a worker holds: enough to notice a change, and its counters so far."""

    id: UUID
    is_wanted: bool
    """Not deleted, wanted connected, in a factory that is not deleted."""
    generation: int
    connect_requested_at: datetime
    connects: int
    messages_received: int
    rejected_logins: int
    """In a row, of the login as it is now, and since somebody last asked to connect it."""
    last_rejected_age: timedelta | None


@dataclass(frozen=True, slots=True)
class SealedLogin:
    """What a worker needs to open a session; the password still sealed."""

    id: UUID
    gateway_id: str
    url: str
    email: str
    sealed_password: bytes = field(repr=False)
    generation: int
    connect_requested_at: datetime


NEW_ID = Query("SELECT uuidv7() AS id", NewId, reads_only=True)

# The factory's row is locked against its deletion until the gateway is there to be deleted with it.
INSERT = Query(
    """
    INSERT INTO gateways (
        id, factory_id, gateway_id, name, model, firmware_version, url, email, sealed_password, metadata
    )
    SELECT
        %(id)s, f.id, %(gateway_id)s, %(name)s, %(model)s, %(firmware_version)s, %(url)s, %(email)s,
        %(sealed_password)s, %(metadata)s
    FROM factories AS f
    WHERE f.id = %(factory_id)s AND f.deleted_at IS NULL
    FOR SHARE
    RETURNING
        id, factory_id, gateway_id, name, model, firmware_version, url, email, desired_state,
        connect_requested_at, generation, metadata, created_at, updated_at, deleted_at, version,
        deleted_with_factory
    """,
    Gateway,
)

FIND_BY_ID = Query(
    """
    SELECT
        id, factory_id, gateway_id, name, model, firmware_version, url, email, desired_state,
        connect_requested_at, generation, metadata, created_at, updated_at, deleted_at, version,
        deleted_with_factory
    FROM gateways
    WHERE id = %(id)s AND deleted_at IS NULL
    """,
    Gateway,
    reads_only=True,
)

# Keeps it as it is for the rest of the transaction, while a condition is held against it.
LOCK_BY_ID = Query(
    """
    SELECT
        id, factory_id, gateway_id, name, model, firmware_version, url, email, desired_state,
        connect_requested_at, generation, metadata, created_at, updated_at, deleted_at, version,
        deleted_with_factory
    FROM gateways
    WHERE id = %(id)s AND deleted_at IS NULL
    FOR NO KEY UPDATE
    """,
    Gateway,
)

# A field that the caller does not name keeps its value, whatever that is at this moment.
UPDATE = Query(
    """
    UPDATE gateways SET
        factory_id = coalesce(%(factory_id)s::uuid, factory_id),
        gateway_id = coalesce(%(gateway_id)s, gateway_id),
        name = coalesce(%(name)s, name),
        model = CASE WHEN %(set_model)s THEN %(model)s ELSE model END,
        firmware_version = CASE
            WHEN %(set_firmware_version)s THEN %(firmware_version)s ELSE firmware_version
        END,
        url = coalesce(%(url)s, url),
        email = coalesce(%(email)s, email),
        sealed_password = coalesce(%(sealed_password)s, sealed_password),
        metadata = coalesce(%(metadata)s, metadata)
    WHERE id = %(id)s AND deleted_at IS NULL
    RETURNING
        id, factory_id, gateway_id, name, model, firmware_version, url, email, desired_state,
        connect_requested_at, generation, metadata, created_at, updated_at, deleted_at, version,
        deleted_with_factory
    """,
    Gateway,
)

# Locks a live factory against its deletion for the rest of the transaction.
LOCK_FACTORY = Query(
    "SELECT id FROM factories WHERE id = %(factory_id)s AND deleted_at IS NULL FOR SHARE", NewId
)

SOFT_DELETE = Command("UPDATE gateways SET deleted_at = now() WHERE id = %(id)s AND deleted_at IS NULL")

WANT_CONNECTED = Command(
    """
    UPDATE gateways SET desired_state = 'connected', connect_requested_at = clock_timestamp()
    WHERE id = %(id)s AND deleted_at IS NULL
    """
)

WANT_DISCONNECTED = Command(
    "UPDATE gateways SET desired_state = 'disconnected' WHERE id = %(id)s AND deleted_at IS NULL"
)

# Also what is not wanted any more: it may have been claimed a moment before, and has to be given back.
FIND_HELD = Query(
    """
    SELECT
        g.id,
        (g.deleted_at IS NULL AND g.desired_state = 'connected' AND f.deleted_at IS NULL) AS is_wanted,
        g.generation, g.connect_requested_at, c.connects, c.messages_received,
        CASE
            WHEN c.observed_generation = g.generation AND c.last_rejected_at > g.connect_requested_at
                THEN c.rejected_logins
            ELSE 0
        END AS rejected_logins,
        clock_timestamp() - c.last_rejected_at AS last_rejected_age
    FROM gateway_connections AS c
    JOIN gateways AS g ON c.gateway_id = g.id
    JOIN factories AS f ON g.factory_id = f.id
    WHERE c.worker_id = %(worker_id)s
    """,
    HeldGateway,
    reads_only=True,
)

COUNT_WANTED = Query(
    """
    SELECT count(*) AS count
    FROM gateways AS g
    JOIN factories AS f ON g.factory_id = f.id
    WHERE g.deleted_at IS NULL AND g.desired_state = 'connected' AND f.deleted_at IS NULL
    """,
    Count,
    reads_only=True,
)

FIND_LOGINS = Query(
    """
    SELECT id, gateway_id, url, email, sealed_password, generation, connect_requested_at
    FROM gateways
    WHERE id = ANY(%(ids)s) AND deleted_at IS NULL
    """,
    SealedLogin,
    reads_only=True,
)

EVERY_LIVE_ONE = GatewayFilter()


class GatewayRepository:
    """Live gateways only, unless a method says otherwise. Runs on the database or inside a transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def new_id(self) -> UUID:
        """An id for a new gateway, which its password is sealed with."""
        return required(self._executor.fetch_one(NEW_ID, {})).id

    def create(self, gateway_id: UUID, sealed_password: bytes, values: Mapping[str, Any]) -> Gateway:
        """Creates the gateway with this row id, wanted connected.

        `values`: factory_id, gateway_id (the device's), name, url, email, and any of model,
        firmware_version, metadata. Raises FactoryUnknownError, GatewayIdConflictError.
        """
        row = self._executor.fetch_one(
            INSERT,
            {
                "id": gateway_id,
                "factory_id": values["factory_id"],
                "gateway_id": values["gateway_id"],
                "name": values["name"],
                "model": values.get("model"),
                "firmware_version": values.get("firmware_version"),
                "url": values["url"],
                "email": values["email"],
                "sealed_password": sealed_password,
                "metadata": Jsonb(values.get("metadata", {})),
            },
        )
        if row is None:
            raise FactoryUnknownError
        return row

    def find_by_id(self, gateway_id: UUID) -> Gateway:
        """Raises GatewayNotFoundError."""
        return _found(self._executor.fetch_one(FIND_BY_ID, {"id": gateway_id}))

    def find_all(
        self,
        start: PageStart,
        limit: int,
        which: GatewayFilter = EVERY_LIVE_ONE,
        sort: GatewaySort = "name",
    ) -> Sequence[ListedGateway]:
        """At most `limit` gateways, ordered by `sort` (downwards with a minus), then id."""
        return self._executor.fetch_all(
            gateway_lists.PAGES[sort],
            gateway_lists.page_parameters(start, limit, which, self._workers_for(which)),
        )

    def count(self, which: GatewayFilter = EVERY_LIVE_ONE) -> int:
        """How many there are."""
        parameters = which.parameters(self._workers_for(which))
        return required(self._executor.fetch_one(gateway_lists.COUNT, parameters)).count

    def update(
        self,
        gateway_id: UUID,
        changes: Mapping[str, Any],
        sealed_password: bytes | None = None,
        check: Callable[[Gateway], None] | None = None,
    ) -> Gateway:
        """Changes the fields that are named and leaves the rest; call it inside a transaction.

        `check` is shown the row as it is and stays until then, and may raise.
        Raises GatewayNotFoundError, FactoryUnknownError, GatewayIdConflictError.
        """
        factory_id = changes.get("factory_id")
        if factory_id is not None:
            self.find_by_id(gateway_id)
            if self._executor.fetch_one(LOCK_FACTORY, {"factory_id": factory_id}) is None:
                raise FactoryUnknownError
        # Behind the factory: whoever deletes a factory locks in this order, too.
        self._check(gateway_id, check)
        row = self._executor.fetch_one(
            UPDATE,
            {
                "id": gateway_id,
                "factory_id": factory_id,
                "gateway_id": changes.get("gateway_id"),
                "name": changes.get("name"),
                "set_model": "model" in changes,
                "model": changes.get("model"),
                "set_firmware_version": "firmware_version" in changes,
                "firmware_version": changes.get("firmware_version"),
                "url": changes.get("url"),
                "email": changes.get("email"),
                "sealed_password": sealed_password,
                "metadata": Jsonb(changes["metadata"]) if "metadata" in changes else None,
            },
        )
        return _found(row)

    def soft_delete(self, gateway_id: UUID, check: Callable[[Gateway], None] | None = None) -> None:
        """Raises GatewayNotFoundError. `check` is as for `update`, and takes a transaction."""
        self._check(gateway_id, check)
        self._touch(SOFT_DELETE, gateway_id)

    def want_connected(self, gateway_id: UUID) -> None:
        """Wants it connected, and an attempt now. Raises GatewayNotFoundError."""
        self._touch(WANT_CONNECTED, gateway_id)

    def want_disconnected(self, gateway_id: UUID) -> None:
        """Wants it disconnected until told otherwise. Raises GatewayNotFoundError."""
        self._touch(WANT_DISCONNECTED, gateway_id)

    def find_held(self, worker_id: UUID) -> Sequence[HeldGateway]:
        """All that this worker holds, deleted ones too: those that are wanted it should keep connected."""
        return self._executor.fetch_all(FIND_HELD, {"worker_id": worker_id})

    def count_wanted(self) -> int:
        """How many gateways should be connected, in all."""
        return required(self._executor.fetch_one(COUNT_WANTED, {})).count

    def find_logins(self, gateway_ids: Sequence[UUID]) -> Sequence[SealedLogin]:
        """How to log in to these, as far as they are live. For workers only."""
        return self._executor.fetch_all(FIND_LOGINS, {"ids": list(gateway_ids)})

    def _workers_for(self, which: GatewayFilter) -> Sequence[WorkerLife]:
        return [] if which.state is None else self._executor.fetch_all(gateway_lists.FIND_WORKERS, {})

    def _check(self, gateway_id: UUID, check: Callable[[Gateway], None] | None) -> None:
        if check is not None:
            check(_found(self._executor.fetch_one(LOCK_BY_ID, {"id": gateway_id})))

    def _touch(self, command: Command, gateway_id: UUID) -> None:
        if self._executor.execute(command, {"id": gateway_id}) == 0:
            raise GatewayNotFoundError


def _found(gateway: Gateway | None) -> Gateway:
    if gateway is None:
        raise GatewayNotFoundError
    return gateway
