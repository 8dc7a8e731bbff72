"""Factories over HTTP."""

from uuid import UUID

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.base import EmptyBody
from service.api.schemas.factories import (
    FactoryCreate,
    FactoryListQuery,
    FactoryPage,
    FactoryResponse,
    FactoryUpdate,
)
from service.api.schemas.pagination import page_body
from service.api.services.context import services
from service.api.services.factory_writes import (
    create_factory,
    delete_factory,
    restore_factory,
    update_factory,
)
from service.api.web.etags import Precondition, conditional_response, with_tag
from service.api.web.responses import respond, respond_created, respond_nothing
from service.database.desired.factories import FactoryRepository
from service.errors import FactoryNotFoundError, GatewayIdsTakenError, OrganizationUnknownError

blueprint = Blueprint("factories", __name__, url_prefix="/api/factories")


@blueprint.post("")
@Operation(
    "create_factory",
    "Register a factory",
    {201: FactoryResponse},
    error_responses=(OrganizationUnknownError,),
    body=FactoryCreate,
    has_etag=True,
)
def create(body: FactoryCreate) -> Response:
    """201 and the factory."""
    factory = create_factory(body)
    return with_tag(respond_created(factory.body, f"/api/factories/{factory.id}"), factory)


@blueprint.get("")
@Operation("list_factories", "List factories", {200: FactoryPage}, query=FactoryListQuery, condition="read")
def find_all(query: FactoryListQuery) -> Response:
    """A page, in the order that is asked for, then by id."""
    repository = FactoryRepository(services().database)
    page = repository.list_json(query.start, query.limit + 1, query.which, query.sort)
    return conditional_response(respond(page_body(query, page)))


@blueprint.get("/<factory_id>")
@Operation(
    "get_factory",
    "Get a factory",
    {200: FactoryResponse},
    error_responses=(FactoryNotFoundError,),
    condition="read",
)
def find_by_id(factory_id: UUID) -> Response:
    """One."""
    factory = FactoryRepository(services().database).find_json(factory_id)
    return conditional_response(respond(factory.body), factory)


@blueprint.route("/<factory_id>", methods=["PUT", "PATCH"])
@Operation(
    "update_factory",
    "Update the fields in the body",
    {200: FactoryResponse},
    error_responses=(FactoryNotFoundError, OrganizationUnknownError),
    body=FactoryUpdate,
    condition="write",
    has_etag=True,
)
def update(factory_id: UUID, body: FactoryUpdate, precondition: Precondition | None) -> Response:
    """Changes what the body names."""
    factory = update_factory(factory_id, body, precondition)
    return with_tag(respond(factory.body), factory)


@blueprint.delete("/<factory_id>")
@Operation(
    "delete_factory",
    "Delete a factory and its gateways",
    {204: None},
    error_responses=(FactoryNotFoundError,),
    condition="write",
)
def delete(factory_id: UUID, precondition: Precondition | None) -> Response:
    """204; its gateways go with it."""
    delete_factory(factory_id, precondition)
    return respond_nothing()


@blueprint.post("/<factory_id>/restore")
@Operation(
    "restore_factory",
    "Undo a deletion, including the gateways deleted with the factory",
    {200: FactoryResponse},
    error_responses=(FactoryNotFoundError, GatewayIdsTakenError(["CTC-0001"])),
    body=EmptyBody,
    is_body_optional=True,
    has_etag=True,
)
def restore(factory_id: UUID) -> Response:
    """200: it is there again, with the gateways that were deleted with it, and only those."""
    factory = restore_factory(factory_id)
    return with_tag(respond(factory.body), factory)
