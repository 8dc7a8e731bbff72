"""The state of everything over HTTP."""

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.status_summary import SummaryQuery, SummaryResponse
from service.api.services.context import services
from service.api.services.summary import summarize
from service.api.web.responses import respond

blueprint = Blueprint("summary", __name__, url_prefix="/api/status")


@blueprint.get("/summary")
@Operation(
    "get_summary",
    "Count the gateways in each state, in total and by factory",
    {200: SummaryResponse},
    query=SummaryQuery,
)
def find(query: SummaryQuery) -> Response:
    """How many gateways are in each state: in all, and by factory, by name."""
    return respond(summarize(services().database, query))
