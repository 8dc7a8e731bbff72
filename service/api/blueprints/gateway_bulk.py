"""What many gateways should be, over HTTP."""

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.bulk_updates import BulkWish, BulkWishResponse
from service.api.services.desired_state import want_many
from service.api.web.responses import respond
from service.errors import FactoryUnknownError

blueprint = Blueprint("bulk", __name__, url_prefix="/api/gateways")


@blueprint.post("/connect")
@Operation(
    "connect_gateways",
    "Connect many gateways: those of a factory, in some states, both, or all",
    {202: BulkWishResponse},
    error_responses=(FactoryUnknownError,),
    body=BulkWish,
    description="Workers start connecting at once, within their handshake limit.",
)
def connect(body: BulkWish) -> Response:
    """Sets the desired state of all of them to connected; workers start connecting at once."""
    return respond(want_many(body, connected=True), 202)


@blueprint.post("/disconnect")
@Operation(
    "disconnect_gateways",
    "Disconnect many gateways: those of a factory, in some states, both, or all",
    {202: BulkWishResponse},
    error_responses=(FactoryUnknownError,),
    body=BulkWish,
)
def disconnect(body: BulkWish) -> Response:
    """Sets the desired state of all of them to disconnected, until a client changes it."""
    return respond(want_many(body, connected=False), 202)
