"""The gateways: search, filter, sort, and what is done to many of them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, flash, request
from pydantic import ValidationError

from service.api.schemas.bulk_updates import BulkWish
from service.api.schemas.gateways import GatewayListQuery, GatewayPage, GatewayUpdate
from service.api.schemas.pagination import page_body
from service.api.services.context import services
from service.api.services.desired_state import want, want_many
from service.api.services.gateway_writes import delete_gateway, update_gateway
from service.api.web.errors import problem_for
from service.api.web.parsing import parse_id
from service.api.web.validation_errors import detail, details_of, invalid
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateways import GatewayRepository
from service.errors import MillgateError
from service.web.choices import factory_choices
from service.web.filters import read_filters
from service.web.rendering import flash_deleted, go_to, render_page

blueprint = Blueprint("gateways", __name__, url_prefix="/gateways")
GATEWAYS_A_PAGE = "50"
MOST_SELECTED = 100
SORTS = {
    "name": "name",
    "state_since": "longest in its state",
    "-state_since": "newest state",
    "last_seen_at": "longest unheard of",
    "-created_at": "newest",
}


@blueprint.get("")
def show() -> Response:
    """A page of them, with what is true of each."""
    query = read_filters(GatewayListQuery, limit=GATEWAYS_A_PAGE, include="status")
    database = services().database
    found = GatewayRepository(database).list_json(
        query.start, query.limit + 1, query.which, query.sort, has_status=True
    )
    page = GatewayPage.model_validate_json(page_body(query, found))
    return render_page(
        "gateways.html",
        page=page,
        query=query,
        arguments=_arguments(query),
        factories=FactoryRepository(database).find_by_ids({gateway.factory_id for gateway in page.data}),
        factory_choices=factory_choices(query.factory_id),
        sorts=SORTS,
        takes_all=not (query.q or query.desired_state or query.deleted)
        and bool(query.state or query.factory_id),
    )


@blueprint.post("/selected")
def change_selected() -> Response:
    """Connects, disconnects, moves or deletes those that were ticked, one by one; says what failed."""
    texts = request.form.getlist("id")
    if len(texts) > MOST_SELECTED:
        raise invalid([detail("id", f"at most {MOST_SELECTED} at once", "too_long")])
    ids = [parse_id(text) for text in texts]
    done, word = _action()
    failures = [failure for row_id in ids if (failure := _try(done, row_id))]
    if len(ids) > len(failures):
        tell = flash_deleted if done is delete_gateway else flash
        tell(f"{len(ids) - len(failures)} {word}.")
    for failure in failures[:5]:
        flash(failure, "error")
    if not ids:
        flash("No gateway was selected: tick some first.", "warning")
    return go_to("web.gateways.show", **_filters_of_form())


@blueprint.post("/matching")
def change_matching() -> Response:
    """Connects or disconnects all gateways of a factory, in some states, or both."""
    filters = _filters_of_form()
    connected = _wants_connected()
    # What is narrowed down further is no wish for all of these: the API's model refuses it.
    values = {name: value for name, value in filters.items() if name != "sort"}
    try:
        wish = BulkWish.model_validate(values, strict=False)
    except ValidationError as error:
        raise invalid(details_of(error, "form")) from None
    wanted = want_many(wish, connected=connected)
    flash(f"{wanted.changed} of {wanted.matched} were asked to {'connect' if connected else 'disconnect'}.")
    return go_to("web.gateways.show", **filters)


def _action() -> tuple[Callable[[UUID], object], str]:
    action = request.form.get("action", "")
    if action == "delete":
        return delete_gateway, "deleted"
    if action == "move":
        changes = GatewayUpdate.model_validate({"factory_id": parse_id(request.form.get("factory", ""))})
        return lambda row_id: update_gateway(row_id, changes, None), "moved"
    connected = _wants_connected()
    word = f"asked to {'connect' if connected else 'disconnect'}"
    return lambda row_id: want(row_id, connected=connected), word


def _wants_connected() -> bool:
    """Raises InvalidRequestError for what no button sends."""
    action = request.form.get("action")
    if action not in {"connect", "disconnect"}:
        raise invalid([detail("action", "is none of those that there are", "action")])
    return action == "connect"


def _try(change: Callable[[UUID], object], row_id: UUID) -> str | None:
    try:
        change(row_id)
    except MillgateError as error:
        problem = problem_for(error)
        if problem is None or problem.status >= 500:
            raise
        return f"{row_id}: {problem.message}"
    return None


def _arguments(query: GatewayListQuery) -> dict[str, Any]:
    """The filters, for links to other pages of the same list."""
    asked = {
        "factory_id": query.factory_id,
        "state": ",".join(query.state or ()),
        "desired_state": query.desired_state,
        "q": query.q,
        "sort": query.sort if query.sort != "name" else None,
    }
    return {name: value for name, value in asked.items() if value}


def _filters_of_form() -> dict[str, str]:
    names = ("factory_id", "state", "desired_state", "q", "sort")
    return {name: value for name in names if (value := request.form.get(name, ""))}
