"""What a client wants of gateways: an API and a page ask alike."""

from typing import NamedTuple
from uuid import UUID

from service.api.schemas.bulk_updates import BulkWish, BulkWishResponse
from service.api.services.change_notifier import note_written
from service.api.services.context import services
from service.database.desired.bulk_updates import BulkUpdateRepository
from service.database.desired.gateway_lists import GatewayFilter
from service.database.desired.gateways import GatewayRepository
from service.database.engine.deadline import BULK_LIMIT_S, set_deadline
from service.database.views.statuses import GatewayStatus, StatusRepository


class Wanted(NamedTuple):
    """The status after it was asked, and whether that changed anything."""

    status: GatewayStatus
    is_written: bool


def want(gateway_id: UUID, *, connected: bool) -> Wanted:
    """Wants it connected, with an attempt at once, or disconnected. Raises GatewayNotFoundError."""
    with services().database.transaction() as transaction:
        gateways = GatewayRepository(transaction)
        change = gateways.want_connected if connected else gateways.want_disconnected
        is_written = change(gateway_id)
        return Wanted(StatusRepository(transaction).find_by_id(gateway_id), is_written)


def want_many(which: BulkWish, *, connected: bool) -> BulkWishResponse:
    """Wants all of them connected, or disconnected. Raises FactoryUnknownError."""
    gateways = GatewayFilter(factory_id=which.factory_id, states=which.state or ())
    set_deadline(BULK_LIMIT_S)
    with services().database.transaction() as transaction:
        wanted = BulkUpdateRepository(transaction).want(gateways, connected=connected)
    note_written(anything=wanted.written > 0)
    return BulkWishResponse(matched=wanted.matched, changed=wanted.changed)
