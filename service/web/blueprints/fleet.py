"""The fleet: how many gateways are in each state, what needs attention, and the factories."""

from flask import Blueprint, Response

from service.api.schemas.status_summary import SummaryQuery
from service.api.services.context import services
from service.api.services.summary import summarize
from service.web.attention import STATES, find_attention
from service.web.filters import read_filters
from service.web.rendering import render_page

blueprint = Blueprint("fleet", __name__)
FACTORIES_A_PAGE = "50"


@blueprint.get("/")
def show() -> Response:
    """All of it on one page; factories by name, page by page."""
    query = read_filters(SummaryQuery, limit=FACTORIES_A_PAGE)
    database = services().database
    return render_page(
        "fleet.html",
        summary=summarize(database, query),
        troubles=find_attention(database),
        troubled_states=STATES,
    )
