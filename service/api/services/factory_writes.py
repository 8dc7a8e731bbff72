"""What may be done to factories: the same for the API and for the page. All raise DatabaseError."""

import json
from uuid import UUID

from service.api.schemas.factories import FactoryCreate, FactoryUpdate
from service.api.services.change_notifier import note_written
from service.api.services.context import services, writing
from service.api.web.etags import Precondition
from service.database.desired.factories import FactoryRepository
from service.database.desired.json_rows import JsonRow, JsonUpdate
from service.database.desired.restore import RestorationRepository
from service.database.desired.values import FactoryChanges, NewFactory


def create_factory(body: FactoryCreate) -> JsonRow:
    """Raises OrganizationUnknownError."""
    factory = NewFactory(
        name=body.name,
        organization_id=body.organization_id,
        location=body.location,
        timezone=body.timezone,
        metadata=json.dumps(body.metadata),
    )
    return FactoryRepository(services().database).create(factory)


def update_factory(factory_id: UUID, body: FactoryUpdate, precondition: Precondition | None) -> JsonUpdate:
    """Changes what the body names.

    Raises FactoryNotFoundError, OrganizationUnknownError, PreconditionFailedError.
    """
    named = body.model_fields_set
    # What the body does not name is None in it.
    changes = FactoryChanges(
        organization_id=body.organization_id,
        name=body.name,
        set_location="location" in named,
        location=body.location,
        timezone=body.timezone,
        metadata=json.dumps(body.metadata) if "metadata" in named else None,
    )
    with writing(precondition) as executor:
        factory = FactoryRepository(executor).update(factory_id, changes, precondition)
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
