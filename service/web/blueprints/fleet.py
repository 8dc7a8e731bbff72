"""The fleet: how many gateways are in each state, what needs attention, and the factories."""

from flask import Blueprint, Response

from service.api.schemas.gateways import GatewayListQuery, GatewayPage
from service.api.schemas.pagination import page_body
from service.api.schemas.status_summary import SummaryQuery
from service.api.services.context import services
from service.api.services.summary import summarize
from service.database.desired.gateways import GatewayRepository
from service.web.filters import read_filters
from service.web.rendering import render_page
from service.web.wording import NEEDS_ATTENTION

blueprint = Blueprint("fleet", __name__)
FACTORIES_A_PAGE = "50"
_ATTENTION = GatewayListQuery.model_validate(
    {"state": ",".join(NEEDS_ATTENTION), "sort": "state_since", "include": "status", "limit": "20"}
)


@blueprint.get("/")
def show() -> Response:
    """All of it on one page; factories by name, page by page."""
    query = read_filters(SummaryQuery, limit=FACTORIES_A_PAGE)
    attention = _find_attention()
    summary = summarize(services().database, query)
    return render_page("fleet.html", summary=summary, attention=attention, needs_attention=NEEDS_ATTENTION)


def _find_attention() -> GatewayPage:
    """Those that are wanted connected and are not, or may not be: the longest first."""
    page = GatewayRepository(services().database).list_json(
        _ATTENTION.start, _ATTENTION.limit + 1, _ATTENTION.which, _ATTENTION.sort, has_status=True
    )
    return GatewayPage.model_validate_json(page_body(_ATTENTION, page))
