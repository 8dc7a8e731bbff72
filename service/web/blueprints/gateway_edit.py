"""Register a gateway, and change one."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, flash, request

from service.api.schemas.gateways import GatewayCreate, GatewayUpdate
from service.api.services.context import services
from service.api.services.gateway_writes import create_gateway, update_gateway
from service.api.web.etags import HasVersion
from service.api.web.parsing import parse_id
from service.database.desired.gateways import GatewayRepository
from service.database.rows import Gateway
from service.errors import MillgateError, PreconditionFailedError
from service.web.choices import factory_choices
from service.web.forms.gateway import GatewayForm
from service.web.forms.validation import add_error, add_problem, parse_form
from service.web.rendering import go_to, render_page

blueprint = Blueprint("gateway_edit", __name__, url_prefix="/gateways")
_OPTIONAL = ("model", "firmware_version")
_TEXTS = ("factory_id", "gateway_id", "name", "url", "email")


@blueprint.route("/new", methods=["GET", "POST"])
def create() -> Response:
    """A form, and then the gateway, which a worker connects."""
    asked_for = request.args.get("factory_id")
    form = _form(parse_id(asked_for) if asked_for else None, factory_id=asked_for)
    if form.is_submitted() and (body := parse_form(form, GatewayCreate, _values_of(form))):
        try:
            row = create_gateway(body)
        except MillgateError as error:
            add_problem(form, error)
        else:
            flash(f"{body.name} was added. A worker connects it now.")
            return go_to("web.gateway.show", gateway_id=row.id)
    return _render(form, None)


@blueprint.route("/<uuid:gateway_id>/edit", methods=["GET", "POST"])
def edit(gateway_id: UUID) -> Response:
    """A form with what is stored, and then the changes."""
    gateway = GatewayRepository(services().database).find_by_id(gateway_id)
    form = _form(gateway.factory_id, **_stored(gateway))
    if form.is_submitted() and (body := parse_form(form, GatewayUpdate, _values_of(form))):
        try:
            update_gateway(gateway_id, body, lambda stored: _check_version(form, stored))
        except PreconditionFailedError:
            gateway = GatewayRepository(services().database).find_by_id(gateway_id)
            _show_stored(form, gateway)
        except MillgateError as error:
            add_problem(form, error)
        else:
            flash(f"{body.name} was changed.")
            return go_to("web.gateway.show", gateway_id=gateway_id)
    return _render(form, gateway)


def _form(chosen: UUID | None = None, **stored: Any) -> GatewayForm:
    form = GatewayForm(data=stored)
    form.factory_id.choices = factory_choices(chosen)
    return form


def _stored(gateway: Gateway) -> dict[str, Any]:
    return {
        "factory_id": str(gateway.factory_id),
        "gateway_id": gateway.device_id,
        **{name: getattr(gateway, name) for name in ("name", "url", "email", *_OPTIONAL)},
        "version": str(gateway.version),
    }


def _show_stored(form: GatewayForm, gateway: Gateway) -> None:
    """Beside what was typed, which is saved when it is sent again."""
    stored = _stored(gateway)
    form.version.data = stored["version"]
    form.form_errors.append("Somebody else changed this gateway meanwhile. Compare, and save again.")
    factories = dict(form.factory_id.choices)
    for name in (*_TEXTS, *_OPTIONAL):
        if (form[name].data or "") != (now := stored[name] or ""):
            add_error(form, name, f"Stored now: {factories.get(now, now) or 'nothing'}")


def _check_version(form: GatewayForm, stored: HasVersion) -> None:
    """Raises PreconditionFailedError."""
    if form.version.data != str(stored.version):
        raise PreconditionFailedError


def _values_of(form: GatewayForm) -> dict[str, Any]:
    """As a body of the API; a password that was left empty is not named."""
    values: dict[str, Any] = {name: form[name].data for name in _TEXTS}
    values |= {name: form[name].data or None for name in _OPTIONAL}
    if form.password.data:
        values["password"] = form.password.data
    return values


def _render(form: GatewayForm, gateway: Gateway | None) -> Response:
    status = 400 if form.errors or form.form_errors else 200
    if form.password.data and not form.password.errors:
        add_error(form, "password", "Type the password again: it is not sent back to the browser.")
    return render_page(
        "gateway_form.html", status, form=form, gateway=gateway, has_factories=bool(form.factory_id.choices)
    )
