"""Workers over HTTP, and what they hold."""

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.pagination import Page
from service.api.schemas.workers import WorkerListQuery, WorkerPage, WorkerResponse
from service.api.services.context import services
from service.api.web.etags import conditional_response
from service.api.web.responses import respond
from service.database.views.workers import RunningWorkerRepository

blueprint = Blueprint("workers", __name__, url_prefix="/api/workers")


@blueprint.get("")
@Operation(
    "list_workers",
    "List the workers that have not ended",
    {200: WorkerPage},
    query=WorkerListQuery,
    condition="read",
)
def find_all(query: WorkerListQuery) -> Response:
    """A page of those that have not ended, by host, then id."""
    repository = RunningWorkerRepository(services().database)
    page = Page(query, repository.find_all(query.start, query.limit + 1), repository.count())
    data = [WorkerResponse.of(row) for row in page.rows]
    return conditional_response(respond(WorkerPage(data=data, pagination=page.pagination)))
