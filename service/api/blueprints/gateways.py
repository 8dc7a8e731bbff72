"""Gateways, as they should be, over HTTP."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from service.api.middleware.change_notifications import note_written
from service.api.openapi.operation import Operation
from service.api.schemas.base import EmptyBody
from service.api.schemas.gateways import (
    GatewayCreate,
    GatewayListQuery,
    GatewayPage,
    GatewayResponse,
    GatewayUpdate,
)
from service.api.schemas.pagination import page_body
from service.api.services.context import services, writing
from service.api.services.stored_passwords import PasswordMove, confinement_after, password_required
from service.api.web.etags import Precondition, conditional_response, with_tag
from service.api.web.responses import respond, respond_created, respond_nothing
from service.crypto import Secret
from service.database.desired.gateways import Check, GatewayRepository
from service.database.desired.restore import RestorationRepository
from service.database.engine.ids import new_id
from service.database.rows import Gateway
from service.errors import (
    FactoryDeletedError,
    FactoryUnknownError,
    GatewayIdConflictError,
    GatewayNotFoundError,
)

blueprint = Blueprint("gateways", __name__, url_prefix="/api/gateways")


@blueprint.post("")
@Operation(
    "create_gateway",
    "Register a gateway, which a worker then connects",
    {201: GatewayResponse},
    error_responses=(FactoryUnknownError, GatewayIdConflictError),
    body=GatewayCreate,
    has_etag=True,
)
def create(body: GatewayCreate) -> Response:
    """201 and the gateway, which a worker connects from now on."""
    row_id = new_id()
    repository = GatewayRepository(services().database)
    gateway = repository.create_json(row_id, seal(body, row_id), values_of(body))
    return with_tag(respond_created(gateway.body, f"/api/gateways/{row_id}"), gateway)


@blueprint.get("")
@Operation("list_gateways", "List gateways", {200: GatewayPage}, query=GatewayListQuery, condition="read")
def find_all(query: GatewayListQuery) -> Response:
    """A page, in the order that is asked for, then by id."""
    repository = GatewayRepository(services().database)
    has_status = query.include is not None
    page = repository.list_json(query.start, query.limit + 1, query.which, query.sort, has_status=has_status)
    return conditional_response(respond(page_body(query, page)))


@blueprint.get("/<gateway_id>")
@Operation(
    "get_gateway",
    "Get a gateway",
    {200: GatewayResponse},
    error_responses=(GatewayNotFoundError,),
    condition="read",
)
def find_by_id(gateway_id: UUID) -> Response:
    """One."""
    gateway = GatewayRepository(services().database).find_json(gateway_id)
    return conditional_response(respond(gateway.body), gateway)


@blueprint.route("/<gateway_id>", methods=["PUT", "PATCH"])
@Operation(
    "update_gateway",
    "Update the fields in the body; the password only if it is included",
    {200: GatewayResponse},
    error_responses=(
        GatewayNotFoundError,
        FactoryUnknownError,
        GatewayIdConflictError,
        password_required(PasswordMove.ELSEWHERE),
    ),
    body=GatewayUpdate,
    condition="write",
    has_etag=True,
)
def update(gateway_id: UUID, body: GatewayUpdate, precondition: Precondition | None) -> Response:
    """Changes what the body names; the password only if it names one."""
    check: Check | None = precondition
    sealed_password = None
    if "password" in body.model_fields_set:
        sealed_password = seal(body, gateway_id)
    elif "url" in body.model_fields_set:
        check = with_password_rule(check, body.url)
    with writing(check) as executor:
        repository = GatewayRepository(executor)
        gateway = repository.update_json(gateway_id, values_of(body), sealed_password, check)
    note_written(anything=gateway.is_changed)
    return with_tag(respond(gateway.body), gateway)


@blueprint.delete("/<gateway_id>")
@Operation(
    "delete_gateway",
    "Delete a gateway: a worker disconnects it, and its gateway_id is free again",
    {204: None},
    error_responses=(GatewayNotFoundError,),
    condition="write",
)
def delete(gateway_id: UUID, precondition: Precondition | None) -> Response:
    """204; a worker hangs up, and the gateway_id is free again."""
    with services().database.transaction() as transaction:
        GatewayRepository(transaction).soft_delete(gateway_id, precondition)
    return respond_nothing()


@blueprint.post("/<gateway_id>/restore")
@Operation(
    "restore_gateway",
    "Undo a deletion",
    {200: GatewayResponse},
    error_responses=(GatewayNotFoundError, FactoryDeletedError, GatewayIdConflictError),
    body=EmptyBody,
    is_body_optional=True,
    has_etag=True,
)
def restore(gateway_id: UUID) -> Response:
    """200: it is there again, and a worker connects it unless it is wanted disconnected."""
    with services().database.transaction() as transaction:
        is_restored = RestorationRepository(transaction).restore_gateway(gateway_id)
        gateway = GatewayRepository(transaction).find_json(gateway_id)
    note_written(anything=is_restored)
    return with_tag(respond(gateway.body), gateway)


def with_password_rule(check: Check | None, url: str) -> Check:
    """The check, and then the rule for a stored password that is to go along to another url."""
    policy = services().passwords

    def check_both(stored: Gateway) -> bool | None:
        if check is not None:
            check(stored)
        return confinement_after(policy.judge(stored.url, url))

    return check_both


def seal(body: GatewayCreate | GatewayUpdate, row_id: UUID) -> bytes:
    """The body's password, sealed for its row."""
    return services().sealer.seal(Secret(body.password.get_secret_value()), row_id)


def values_of(body: GatewayCreate | GatewayUpdate) -> dict[str, Any]:
    """What the body names, without the password."""
    return {name: value for name, value in body.provided_fields().items() if name != "password"}
