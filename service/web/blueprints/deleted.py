"""What was deleted, and its way back."""

from uuid import UUID

from flask import Blueprint, Response, flash

from service.api.schemas.factories import FactoryListQuery, FactoryPage
from service.api.schemas.gateways import GatewayListQuery, GatewayPage, GatewayResponse
from service.api.schemas.pagination import page_body
from service.api.services.context import services
from service.api.services.gateway_writes import restore_gateway
from service.api.web.errors import problem_for
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateways import GatewayRepository
from service.errors import FactoryDeletedError, GatewayIdConflictError
from service.web.filters import read_filters
from service.web.rendering import go_to, render_page

blueprint = Blueprint("deleted", __name__, url_prefix="/deleted")
_FACTORIES = FactoryListQuery.model_validate({"deleted": "only", "limit": "100"})


@blueprint.get("")
def show() -> Response:
    """Gateways page by page, and the first hundred factories."""
    query = read_filters(GatewayListQuery, limit="50", deleted="only")
    database = services().database
    found = GatewayRepository(database).list_json(query.start, query.limit + 1, query.which, query.sort)
    gone = FactoryRepository(database).list_json(
        _FACTORIES.start, _FACTORIES.limit + 1, _FACTORIES.which, _FACTORIES.sort
    )
    return render_page(
        "deleted.html",
        gateways=GatewayPage.model_validate_json(page_body(query, found)),
        factories=FactoryPage.model_validate_json(page_body(_FACTORIES, gone)),
    )


@blueprint.post("/gateways/<uuid:gateway_id>/restore")
def restore(gateway_id: UUID) -> Response:
    """It is there again, or why it cannot be."""
    try:
        gateway = GatewayResponse.model_validate_json(restore_gateway(gateway_id).body)
    except (FactoryDeletedError, GatewayIdConflictError) as error:
        problem = problem_for(error)
        flash(f"It was not restored. {problem.message if problem else ''}", "error")
        return go_to("web.deleted.show")
    flash(f"{gateway.name} was restored.")
    return go_to("web.gateway.show", gateway_id=gateway_id)
