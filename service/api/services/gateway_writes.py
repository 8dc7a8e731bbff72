"""What may be done to gateways: the same for the API and for the page. All raise DatabaseError."""

import json
from uuid import UUID

from service.api.schemas.gateways import GatewayCreate, GatewayUpdate
from service.api.services.change_notifier import note_written
from service.api.services.context import services, writing
from service.api.services.stored_passwords import confinement_after
from service.api.web.etags import Precondition
from service.crypto import Secret
from service.database.desired.gateways import Check, GatewayRepository
from service.database.desired.json_rows import JsonRow, JsonUpdate
from service.database.desired.restore import RestorationRepository
from service.database.desired.values import GatewayChanges, NewGateway
from service.database.engine.ids import new_id
from service.database.rows import Gateway


def create_gateway(body: GatewayCreate) -> JsonRow:
    """A worker connects it from now on. Raises FactoryUnknownError, GatewayIdConflictError."""
    row_id = new_id()
    gateway = NewGateway(
        id=row_id,
        factory_id=body.factory_id,
        device_id=body.gateway_id,
        name=body.name,
        url=body.url,
        email=body.email,
        sealed_password=_seal(body, row_id),
        model=body.model,
        firmware_version=body.firmware_version,
        metadata=json.dumps(body.metadata),
    )
    return GatewayRepository(services().database).create(gateway)


def update_gateway(gateway_id: UUID, body: GatewayUpdate, precondition: Precondition | None) -> JsonUpdate:
    """Changes what the body names; the password only if it names one.

    Raises GatewayNotFoundError, FactoryUnknownError, GatewayIdConflictError, PreconditionFailedError, and
    InvalidRequestError where the password is required.
    """
    changes = _changes_of(body, gateway_id)
    check: Check | None = precondition
    if "url" in body.model_fields_set and "password" not in body.model_fields_set:
        check = _with_password_rule(check, body.url)
    with writing(check) as executor:
        gateway = GatewayRepository(executor).update(gateway_id, changes, check)
    note_written(anything=gateway.is_changed)
    return gateway


def delete_gateway(gateway_id: UUID, precondition: Precondition | None = None) -> None:
    """A worker disconnects it; its gateway_id is free.

    Raises GatewayNotFoundError, PreconditionFailedError.
    """
    with services().database.transaction() as transaction:
        GatewayRepository(transaction).soft_delete(gateway_id, precondition)


def restore_gateway(gateway_id: UUID) -> JsonRow:
    """A worker connects it, if that is wanted.

    Raises GatewayNotFoundError, FactoryDeletedError, GatewayIdConflictError.
    """
    with services().database.transaction() as transaction:
        is_restored = RestorationRepository(transaction).restore_gateway(gateway_id)
        gateway = GatewayRepository(transaction).find_json(gateway_id)
    note_written(anything=is_restored)
    return gateway


def _with_password_rule(check: Check | None, url: str) -> Check:
    """The check, and then the rule for a stored password that is to go along to another url."""
    policy = services().passwords

    def check_both(stored: Gateway) -> bool | None:
        if check is not None:
            check(stored)
        return confinement_after(policy.judge(stored.url, url))

    return check_both


def _seal(body: GatewayCreate | GatewayUpdate, row_id: UUID) -> bytes:
    return services().sealer.seal(Secret(body.password.get_secret_value()), row_id)


def _changes_of(body: GatewayUpdate, row_id: UUID) -> GatewayChanges:
    """What the body names; what it does not name is None in it."""
    named = body.model_fields_set
    return GatewayChanges(
        factory_id=body.factory_id,
        device_id=body.gateway_id,
        name=body.name,
        set_model="model" in named,
        model=body.model,
        set_firmware_version="firmware_version" in named,
        firmware_version=body.firmware_version,
        url=body.url,
        email=body.email,
        sealed_password=_seal(body, row_id) if "password" in named else None,
        metadata=json.dumps(body.metadata) if "metadata" in named else None,
    )
