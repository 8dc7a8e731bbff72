"""What may be done to factories: the same for the API and for the page. All raise DatabaseError."""

from uuid import UUID

from service.api.schemas.factories import FactoryCreate, FactoryUpdate
from service.api.services.change_notifier import note_written
from service.api.services.context import services, writing
from service.api.web.etags import Precondition
from service.database.desired.factories import FactoryRepository
from service.database.desired.json_rows import JsonRow, JsonUpdate
from service.database.desired.restore import RestorationRepository


def create_factory(body: FactoryCreate) -> JsonRow:
    """Raises OrganizationUnknownError."""
    return FactoryRepository(services().database).create(body.provided_fields())


def update_factory(factory_id: UUID, body: FactoryUpdate, precondition: Precondition | None) -> JsonUpdate:
    """Changes what the body names.

    Raises FactoryNotFoundError, OrganizationUnknownError, PreconditionFailedError.
    """
    with writing(precondition) as executor:
        factory = FactoryRepository(executor).update(factory_id, body.provided_fields(), precondition)
    note_written(anything=factory.is_changed)
    return factory


def delete_factory(factory_id: UUID, precondition: Precondition | None = None) -> None:
    """Its gateways go with it. Raises FactoryNotFoundError, PreconditionFailedError."""
    with services().database.transaction() as transaction:
        FactoryRepository(transaction).soft_delete(factory_id, precondition)


def restore_factory(factory_id: UUID) -> JsonRow:
    """With the gateways that were deleted with it. Raises FactoryNotFoundError, GatewayIdsTakenError."""
    with services().database.transaction() as transaction:
        is_restored = RestorationRepository(transaction).restore_factory(factory_id)
        factory = FactoryRepository(transaction).find_json(factory_id)
    note_written(anything=is_restored)
    return factory
