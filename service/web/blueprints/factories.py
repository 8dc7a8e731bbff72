"""Factories: how their gateways are, and what they are called."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, flash

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
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateway_lists import GatewayFilter
from service.database.desired.gateways import GatewayRepository
from service.database.views.summaries import SummaryRepository
from service.errors import MillgateError
from service.web.filters import read_filters
from service.web.forms.factory import DeleteFactoryForm, FactoryForm
from service.web.forms.validation import add_problem, parse_form
from service.web.rendering import flash_deleted, go_to, render_page

blueprint = Blueprint("factories", __name__, url_prefix="/factories")


@blueprint.get("")
def show() -> Response:
    """By name, with how many of their gateways are in each state."""
    query = read_filters(FactoryListQuery, limit="50")
    database = services().database
    found = FactoryRepository(database).list_json(query.start, query.limit + 1, query.which, query.sort)
    page = FactoryPage.model_validate_json(page_body(query, found))
    counts: dict[UUID | None, dict[str, int]] = {}
    for count in SummaryRepository(database).count_states([factory.id for factory in page.data]):
        counts.setdefault(count.factory_id, {})[count.state] = count.count
    return render_page("factories.html", page=page, counts=counts, query=query)


@blueprint.route("/new", methods=["GET", "POST"])
def create() -> Response:
    """A form, and then the factory."""
    form = FactoryForm()
    if form.is_submitted() and (body := parse_form(form, FactoryCreate, _values_of(form))):
        try:
            create_factory(body)
        except MillgateError as error:
            add_problem(form, error)
        else:
            flash(f"{body.name} was added.")
            return go_to("web.factories.show")
    return render_page("factory_form.html", _status_of(form), form=form, factory=None)


@blueprint.route("/<uuid:factory_id>/edit", methods=["GET", "POST"])
def edit(factory_id: UUID) -> Response:
    """A form with what is stored, and then the changes."""
    factory = _find(factory_id)
    form = FactoryForm(data=factory.model_dump(include={"name", "location", "timezone"}))
    if form.is_submitted() and (body := parse_form(form, FactoryUpdate, _values_of(form))):
        try:
            update_factory(factory_id, body, None)
        except MillgateError as error:
            add_problem(form, error)
        else:
            flash(f"{body.name} was changed.")
            return go_to("web.factories.show")
    return render_page("factory_form.html", _status_of(form), form=form, factory=factory)


@blueprint.route("/<uuid:factory_id>/delete", methods=["GET", "POST"])
def delete(factory_id: UUID) -> Response:
    """Says what goes with it, asks for its name, and deletes it."""
    factory, form = _find(factory_id), DeleteFactoryForm()
    if form.is_submitted():
        if (form.name.data or "").strip() == factory.name:
            delete_factory(factory_id)
            flash_deleted(f"{factory.name} and its gateways were deleted.")
            return go_to("web.factories.show")
        form.name.errors = [f"This is not the factory's name, which is {factory.name}."]
    gateways = GatewayRepository(services().database).count(GatewayFilter(factory_id=factory_id))
    return render_page("factory_delete.html", _status_of(form), form=form, factory=factory, gateways=gateways)


@blueprint.post("/<uuid:factory_id>/restore")
def restore(factory_id: UUID) -> Response:
    """It is there again, with the gateways that were deleted with it."""
    factory = FactoryResponse.model_validate_json(restore_factory(factory_id).body)
    flash(f"{factory.name} was restored, with the gateways that were deleted with it.")
    return go_to("web.factories.show")


def _find(factory_id: UUID) -> FactoryResponse:
    """Raises FactoryNotFoundError."""
    return FactoryResponse.of(FactoryRepository(services().database).find_by_id(factory_id))


def _values_of(form: FactoryForm) -> dict[str, Any]:
    return {"name": form.name.data, "location": form.location.data or None, "timezone": form.timezone.data}


def _status_of(form: Any) -> int:
    """400 where something is wrong with what was sent."""
    return 400 if form.errors or form.form_errors else 200
