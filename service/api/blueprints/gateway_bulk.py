"""What many gateways should be, over HTTP."""

from typing import Self

from flask import Blueprint, Response
from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from service.api.middleware.change_notifications import note_written
from service.api.openapi.operation import Operation
from service.api.schemas.base import RequestModel, ResponseModel, unset
from service.api.schemas.fields import Id, OnlyTrue
from service.api.services.context import services
from service.api.web.responses import respond
from service.database.desired.bulk_updates import BulkUpdateRepository
from service.database.desired.gateway_lists import GatewayFilter
from service.database.engine.deadline import BULK_LIMIT_S, set_deadline
from service.errors import FactoryUnknownError
from service.gateway_states import ReportedState

blueprint = Blueprint("bulk", __name__, url_prefix="/api/gateways")

# The rule of `says_which`, for the document.
_WHICH: JsonDict = {
    "oneOf": [
        {"required": ["all"]},
        {"anyOf": [{"required": ["factory_id"]}, {"required": ["state"]}]},
    ]
}


class BulkWish(RequestModel):
    """Which gateways: those of a factory, in a state, or both; or, said in so many words, all."""

    model_config = ConfigDict(json_schema_extra=_WHICH)

    factory_id: Id = Field(default_factory=unset)
    state: ReportedState = Field(default_factory=unset)
    all: OnlyTrue = Field(default_factory=unset)

    @model_validator(mode="after")
    def says_which(self) -> Self:
        """Nothing said is a mistake rather than a wish for all."""
        if ("all" in self.model_fields_set) == bool(self.model_fields_set & {"factory_id", "state"}):
            raise PydanticCustomError(
                "filter", 'must have a factory_id, a state or both, or else "all": true'
            )
        return self


class BulkWishResponse(ResponseModel):
    """How many gateways were found, and of how many the desired state was another one before."""

    matched: int
    changed: int


@blueprint.post("/connect")
@Operation(
    "connect_gateways",
    "Connect many gateways: those of a factory, in a state, both, or all",
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
    "Disconnect many gateways: those of a factory, in a state, both, or all",
    {202: BulkWishResponse},
    error_responses=(FactoryUnknownError,),
    body=BulkWish,
)
def disconnect(body: BulkWish) -> Response:
    """Sets the desired state of all of them to disconnected, until a client changes it."""
    return _want(body, connected=False)


def _want(wish: BulkWish, *, connected: bool) -> Response:
    which = GatewayFilter(factory_id=wish.factory_id, state=wish.state)
    set_deadline(BULK_LIMIT_S)
    with services().database.transaction() as transaction:
        wished = BulkUpdateRepository(transaction).want(which, connected=connected)
    note_written(anything=wished.written > 0)
    return respond(BulkWishResponse(matched=wished.matched, changed=wished.changed), 202)
