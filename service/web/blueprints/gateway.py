"""One gateway: what is true of it, why, what to do, and what became of what was asked."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, flash, g

from service.api.schemas.connection_tests import GatewayTrialRequest, TrialResponse
from service.api.schemas.gateway_history import AvailabilityQuery, EventListQuery
from service.api.schemas.gateway_status import StatusResponse
from service.api.services.change_notifier import note_written
from service.api.services.connection_tests import try_gateway
from service.api.services.context import services
from service.api.services.desired_state import want
from service.api.services.gateway_history import find_availability, find_events
from service.api.services.gateway_writes import delete_gateway
from service.api.web.errors import Problem, problem_for
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateways import GatewayRepository
from service.database.rows import Factory, Gateway
from service.database.views.facts import Facts, read_facts
from service.database.views.statuses import StatusRepository
from service.errors import (
    ConnectionTestLostError,
    InvalidRequestError,
    NoWorkerError,
    TooManyConnectionTestsError,
)
from service.web.availability_picture import KINDS, availability_bar, in_words, swatch
from service.web.filters import read_filters
from service.web.gateway_words import TEST_STEPS, account_of
from service.web.rendering import flash_deleted, go_to, is_fragment, render_page
from service.web.wording import iso

blueprint = Blueprint("gateway", __name__, url_prefix="/gateways/<uuid:gateway_id>")
EVENTS_A_PAGE = "10"
_PICTURES = (("24 hours", timedelta(days=1), 96), ("30 days", timedelta(days=30), 120))


@blueprint.get("")
def show(gateway_id: UUID) -> Response:
    """Its status and transitions are kept fresh; the pictures are as of when the page was opened."""
    query = read_filters(EventListQuery, limit=EVENTS_A_PAGE)
    gateway, factory, values = _status_of(gateway_id)
    return render_page(
        "gateway.html",
        **values,
        events=find_events(services().database, gateway_id, query),
        is_past=query.cursor is not None,
        pictures=[] if is_fragment() else _pictures(gateway, factory),
        kinds={kind: (words, swatch(kind)) for kind, words in KINDS.items()},
    )


@blueprint.post("/connect")
def connect(gateway_id: UUID) -> Response:
    """Wanted connected, and an attempt at once."""
    return _want(gateway_id, connected=True)


@blueprint.post("/disconnect")
def disconnect(gateway_id: UUID) -> Response:
    """Wanted off, until somebody connects it."""
    return _want(gateway_id, connected=False)


@blueprint.post("/delete")
def delete(gateway_id: UUID) -> Response:
    """Its worker disconnects it; it can be restored."""
    gateway = GatewayRepository(services().database).find_by_id(gateway_id)
    delete_gateway(gateway_id)
    flash_deleted(f"{gateway.name} was deleted.")
    return go_to("web.gateways.show")


@blueprint.get("/test")
def offer_test(gateway_id: UUID) -> Response:
    """What a test does, and a button."""
    return _test_page(gateway_id)


@blueprint.post("/test")
def run_test(gateway_id: UUID) -> Response:
    """Each step of a login with what is stored, as a worker tried it. Takes as long as that."""
    note_written(anything=False)
    try:
        result = try_gateway(gateway_id, GatewayTrialRequest())
    except (
        NoWorkerError,
        TooManyConnectionTestsError,
        ConnectionTestLostError,
        InvalidRequestError,
    ) as error:
        problem = problem_for(error)
        return _test_page(gateway_id, problem=problem)
    finally:
        # The test took time: what is shown is as of its end.
        g.facts = read_facts(services().database)
    return _test_page(gateway_id, result=result)


def _status_of(gateway_id: UUID) -> tuple[Gateway, Factory, dict[str, Any]]:
    """For the templates. Raises GatewayNotFoundError."""
    database = services().database
    status = StatusResponse.of(StatusRepository(database).find_by_id(gateway_id))
    gateway = GatewayRepository(database).find_by_id(gateway_id)
    factory = FactoryRepository(database).find_by_id(gateway.factory_id)
    facts: Facts = g.facts
    account = account_of(gateway.name, status, facts.live_workers)
    values = {
        "gateway": gateway,
        "factory": factory,
        "current": status,
        "account": account,
        "live_gateway": gateway.id,
    }
    return gateway, factory, values


def _pictures(gateway: Gateway, factory: Factory) -> list[dict[str, Any]]:
    facts: Facts = g.facts
    pictures: list[dict[str, Any]] = []
    for number, (heading, length, buckets) in enumerate(_PICTURES):
        query = AvailabilityQuery.model_validate({"from": iso(facts.as_of - length), "buckets": str(buckets)})
        try:
            found = find_availability(services().database, gateway.id, query)
        except InvalidRequestError:
            pictures.append({"heading": heading, "words": "There are too many transitions to add up."})
            continue
        pictures.append(
            {
                "heading": heading,
                "words": in_words(found),
                "svg": availability_bar(f"bar-{number}", found, factory.timezone),
                "found": found,
            }
        )
    return pictures


def _test_page(
    gateway_id: UUID, result: TrialResponse | None = None, problem: Problem | None = None
) -> Response:
    _, _, values = _status_of(gateway_id)
    response = render_page(
        "gateway_test.html",
        200 if problem is None else problem.status,
        **values,
        result=result,
        problem=problem,
        test_steps=TEST_STEPS,
    )
    if problem is not None:
        response.headers.update(problem.headers)
    return response


def _want(gateway_id: UUID, *, connected: bool) -> Response:
    wanted = want(gateway_id, connected=connected)
    note_written(anything=wanted.is_written)
    if connected:
        flash("Asked to connect now." if wanted.is_written else "It is connected: there is nothing to do.")
    else:
        flash("Asked to disconnect." if wanted.is_written else "It should be off already.")
    return go_to("web.gateway.show", gateway_id=gateway_id)
