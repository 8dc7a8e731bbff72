"""What many gateways should be, over HTTP."""

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.bulk_updates import BulkWish, BulkWishResponse
from service.api.services.change_notifier import note_written
from service.api.services.context import services
from service.api.web.responses import respond
from service.database.desired.bulk_updates import BulkUpdateRepository
from service.database.desired.gateway_lists import GatewayFilter
from service.database.engine.deadline import BULK_LIMIT_S, set_deadline
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
    return _want(body, connected=True)


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
    return _want(body, connected=False)


def _want(wish: BulkWish, *, connected: bool) -> Response:
    which = GatewayFilter(factory_id=wish.factory_id, states=wish.state or ())
    set_deadline(BULK_LIMIT_S)
    with services().database.transaction() as transaction:
        wished = BulkUpdateRepository(transaction).want(which, connected=connected)
    note_written(anything=wished.written > 0)
    return respond(BulkWishResponse(matched=wished.matched, changed=wished.changed), 202)
