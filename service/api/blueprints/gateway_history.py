"""The past of a gateway over HTTP: its transitions, and how available it was."""

from uuid import UUID

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.gateway_history import (
    AvailabilityQuery,
    AvailabilityResponse,
    EventListQuery,
    EventPage,
)
from service.api.services import gateway_history
from service.api.services.context import services
from service.api.web.etags import conditional_response
from service.api.web.responses import respond
from service.errors import GatewayNotFoundError

blueprint = Blueprint("history", __name__, url_prefix="/api/gateways/<gateway_id>")


@blueprint.get("/events")
@Operation(
    "list_gateway_events",
    "List the events of a gateway, newest first",
    {200: EventPage},
    error_responses=(GatewayNotFoundError,),
    query=EventListQuery,
    condition="read",
)
def find_events(gateway_id: UUID, query: EventListQuery) -> Response:
    """Its transitions, newest first."""
    return conditional_response(respond(gateway_history.find_events(services().database, gateway_id, query)))


@blueprint.get("/availability")
@Operation(
    "get_availability",
    "Get the share of wanted time that a gateway was connected, and its outages",
    {200: AvailabilityResponse},
    error_responses=(GatewayNotFoundError,),
    query=AvailabilityQuery,
    description="With `buckets`, also how the time is spread over so many stretches of the same length.",
)
def find_availability(gateway_id: UUID, query: AvailabilityQuery) -> Response:
    """How much of the wanted time it was connected, from its history."""
    return respond(gateway_history.find_availability(services().database, gateway_id, query))
