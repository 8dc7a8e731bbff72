"""Factories over HTTP."""

from flask import Blueprint, Response

from service.api.middleware.change_notifications import note_written
from service.api.openapi.operation import Operation
from service.api.schemas.base import EmptyBody, FactoryCreate, FactoryResponse, FactoryUpdate
from service.api.schemas.lists import FactoryListQuery, FactoryPage
from service.api.schemas.pagination import NoQuery, page_body
from service.api.services.context import services, writing
from service.api.web.etags import answer_read, with_tag, write_precondition
from service.api.web.parsing import parse_body, parse_id, parse_optional_body, parse_query, parse_update
from service.api.web.responses import respond, respond_created, respond_nothing
from service.database.desired.factories import FactoryRepository
from service.database.desired.restore import RestorationRepository
from service.errors import FactoryNotFoundError, GatewayIdsTakenError, OrganizationUnknownError

blueprint = Blueprint("factories", __name__, url_prefix="/api/factories")


@blueprint.post("")
@Operation(
    "create_factory",
    "Register a factory",
    {201: FactoryResponse},
    errors=(OrganizationUnknownError,),
    body=FactoryCreate,
    is_tagged=True,
)
def create() -> Response:
    """201 and the factory."""
    parse_query(NoQuery)
    body = parse_body(FactoryCreate)
    factory = FactoryRepository(services().database).create_rendered(body.named())
    return with_tag(respond_created(factory.body, f"/api/factories/{factory.id}"), factory)


@blueprint.get("")
@Operation("list_factories", "List factories", {200: FactoryPage}, query=FactoryListQuery, condition="read")
def find_all() -> Response:
    """A page, in the order that is asked for, then by id."""
    query = parse_query(FactoryListQuery)
    repository = FactoryRepository(services().database)
    page = repository.render_all(query.start, query.limit + 1, query.which, query.sort)
    return answer_read(respond(page_body(query, page)))


@blueprint.get("/<factory_id>")
@Operation(
    "get_factory", "Get a factory", {200: FactoryResponse}, errors=(FactoryNotFoundError,), condition="read"
)
def find_by_id(factory_id: str) -> Response:
    """One."""
    parse_query(NoQuery)
    factory = FactoryRepository(services().database).render_by_id(parse_id(factory_id))
    return answer_read(respond(factory.body), factory)


@blueprint.route("/<factory_id>", methods=["PUT", "PATCH"])
@Operation(
    "update_factory",
    "Update the fields in the body",
    {200: FactoryResponse},
    errors=(FactoryNotFoundError, OrganizationUnknownError),
    body=FactoryUpdate,
    condition="write",
    is_tagged=True,
)
def update(factory_id: str) -> Response:
    """Changes what the body names."""
    parse_query(NoQuery)
    row_id = parse_id(factory_id)
    body, check = parse_update(FactoryUpdate, row_id), write_precondition()
    with writing(check) as executor:
        factory = FactoryRepository(executor).update_rendered(row_id, body.named(), check)
    note_written(anything=factory.is_changed)
    return with_tag(respond(factory.body), factory)


@blueprint.delete("/<factory_id>")
@Operation(
    "delete_factory",
    "Delete a factory and its gateways",
    {204: None},
    errors=(FactoryNotFoundError,),
    condition="write",
)
def delete(factory_id: str) -> Response:
    """204; its gateways go with it."""
    parse_query(NoQuery)
    row_id, check = parse_id(factory_id), write_precondition()
    with services().database.transaction() as transaction:
        FactoryRepository(transaction).soft_delete(row_id, check)
    return respond_nothing()


@blueprint.post("/<factory_id>/restore")
@Operation(
    "restore_factory",
    "Undo a deletion, including the gateways deleted with the factory",
    {200: FactoryResponse},
    errors=(FactoryNotFoundError, GatewayIdsTakenError(["CTC-0001"])),
    body=EmptyBody,
    is_body_optional=True,
    is_tagged=True,
)
def restore(factory_id: str) -> Response:
    """200: it is there again, with the gateways that were deleted with it, and only those."""
    parse_query(NoQuery)
    row_id = parse_id(factory_id)
    parse_optional_body(EmptyBody)
    with services().database.transaction() as transaction:
        is_restored = RestorationRepository(transaction).restore_factory(row_id)
        factory = FactoryRepository(transaction).render_by_id(row_id)
    note_written(anything=is_restored)
    return with_tag(respond(factory.body), factory)
