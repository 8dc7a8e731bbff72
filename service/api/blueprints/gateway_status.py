"""What a gateway's connection is, and what an operator wants it to be."""

from uuid import UUID

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.base import EmptyBody
from service.api.schemas.gateway_status import StatusResponse
from service.api.services.change_notifier import note_written
from service.api.services.context import services
from service.api.services.desired_state import want
from service.api.web.responses import respond
from service.database.views.statuses import StatusRepository
from service.errors import GatewayNotFoundError

blueprint = Blueprint("status", __name__, url_prefix="/api/gateways/<gateway_id>")


@blueprint.get("/status")
@Operation(
    "get_status", "Get the current status", {200: StatusResponse}, error_responses=(GatewayNotFoundError,)
)
def find(gateway_id: UUID) -> Response:
    """The status at this moment."""
    status = StatusRepository(services().database).find_by_id(gateway_id)
    return respond(StatusResponse.of(status))


@blueprint.post("/connect")
@Operation(
    "connect_gateway",
    "Connect a gateway, starting an attempt at once",
    {202: StatusResponse},
    error_responses=(GatewayNotFoundError,),
    body=EmptyBody,
    is_body_optional=True,
)
def connect(gateway_id: UUID) -> Response:
    """202: wanted connected, and an attempt at once, whatever was before."""
    return _want(gateway_id, connected=True)


@blueprint.post("/disconnect")
@Operation(
    "disconnect_gateway",
    "Disconnect a gateway, until a client connects it",
    {202: StatusResponse},
    error_responses=(GatewayNotFoundError,),
    body=EmptyBody,
    is_body_optional=True,
)
def disconnect(gateway_id: UUID) -> Response:
    """202: the desired state is disconnected until a client changes it."""
    return _want(gateway_id, connected=False)


def _want(gateway_id: UUID, *, connected: bool) -> Response:
    wanted = want(gateway_id, connected=connected)
    note_written(anything=wanted.is_written)
    return respond(StatusResponse.of(wanted.status), 202)
