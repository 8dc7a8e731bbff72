"""Gateways, as they should be, over HTTP."""

from uuid import UUID

from flask import Blueprint, Response

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
from service.api.services.context import services
from service.api.services.gateway_writes import (
    create_gateway,
    delete_gateway,
    restore_gateway,
    update_gateway,
)
from service.api.services.stored_passwords import PasswordMove, password_required
from service.api.web.etags import Precondition, conditional_response, with_tag
from service.api.web.responses import respond, respond_created, respond_nothing
from service.database.desired.gateways import GatewayRepository
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
    gateway = create_gateway(body)
    return with_tag(respond_created(gateway.body, f"/api/gateways/{gateway.id}"), gateway)


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
    gateway = update_gateway(gateway_id, body, precondition)
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
    delete_gateway(gateway_id, precondition)
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
    gateway = restore_gateway(gateway_id)
    return with_tag(respond(gateway.body), gateway)
