"""The workers that have not ended: who can vouch for gateways, and for how many."""

from flask import Blueprint, Response

from service.api.schemas.pagination import Page
from service.api.schemas.workers import WorkerListQuery
from service.api.services.context import services
from service.database.views.workers import RunningWorkerRepository
from service.web.filters import read_filters
from service.web.rendering import render_page

blueprint = Blueprint("workers", __name__, url_prefix="/workers")


@blueprint.get("")
def show() -> Response:
    """By host, page by page."""
    query = read_filters(WorkerListQuery, limit="50")
    repository = RunningWorkerRepository(services().database)
    page = Page(query, repository.find_all(query.start, query.limit + 1), repository.count())
    return render_page("workers.html", workers=page.rows, pagination=page.pagination)
