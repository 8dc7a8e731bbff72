"""Deletions taken back: of a gateway, or of a factory with the gateways that were deleted with it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.database.desired import gateways
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateways import DeviceId
from service.database.engine.query import Command, Executor, Query
from service.errors import FactoryDeletedError, GatewayIdsTakenError, GatewayNotFoundError

_MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Restorable:
    """A gateway, deleted or not, and its factory."""

    id: UUID
    factory_id: UUID
    deleted_at: datetime | None


RESTORE_FACTORY = Command(
    "UPDATE factories SET deleted_at = NULL WHERE id = %(id)s AND deleted_at IS NOT NULL"
)

RESTORE_GATEWAYS = Command(
    """
    UPDATE gateways SET deleted_at = NULL, deleted_with_factory = FALSE
    WHERE factory_id = %(id)s AND deleted_with_factory
    """
)

# Devices that were registered anew since the factory was deleted.
FIND_TAKEN = Query(
    """
    SELECT g.device_id
    FROM gateways AS g
    JOIN gateways AS other ON g.device_id = other.device_id AND other.deleted_at IS NULL
    WHERE g.factory_id = %(id)s AND g.deleted_with_factory
    ORDER BY g.device_id
    LIMIT %(limit)s
    """,
    DeviceId,
    retryable=True,
)

# Also one that is not deleted. The factory is found, and then locked against its deletion.
FIND_DELETED_OR_LIVE = Query(
    "SELECT id, factory_id, deleted_at FROM gateways WHERE id = %(id)s", Restorable, retryable=True
)

RESTORE_GATEWAY = Command(
    """
    UPDATE gateways SET deleted_at = NULL, deleted_with_factory = FALSE
    WHERE id = %(id)s AND deleted_at IS NOT NULL
    """
)


class RestorationRepository:
    """Sees what is deleted, and brings it back. Run it inside a transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def restore_factory(self, factory_id: UUID) -> bool:
        """Takes back its deletion, and that of the gateways that were deleted with it: of all, or of none.

        One that is live stays as it is; tells whether it was deleted. Raises FactoryNotFoundError, and
        GatewayIdsTakenError for devices that were registered anew meanwhile.
        """
        if self._executor.execute(RESTORE_FACTORY, {"id": factory_id}) == 0:
            FactoryRepository(self._executor).find_by_id(factory_id)
            return False
        taken = self._executor.fetch_all(FIND_TAKEN, {"id": factory_id, "limit": _MOST_NAMED})
        if taken:
            raise GatewayIdsTakenError([row.device_id for row in taken])
        self._executor.execute(RESTORE_GATEWAYS, {"id": factory_id})
        return True

    def restore_gateway(self, gateway_id: UUID) -> bool:
        """Takes back its deletion; one that is live stays as it is. Tells whether it was deleted.

        Raises GatewayNotFoundError, FactoryDeletedError, GatewayIdConflictError.
        """
        found = self._executor.fetch_one(FIND_DELETED_OR_LIVE, {"id": gateway_id})
        if found is None:
            raise GatewayNotFoundError
        if found.deleted_at is None:
            return False
        if self._executor.fetch_one(gateways.LOCK_FACTORY, {"factory_id": found.factory_id}) is None:
            raise FactoryDeletedError
        return self._executor.execute(RESTORE_GATEWAY, {"id": gateway_id}) > 0
