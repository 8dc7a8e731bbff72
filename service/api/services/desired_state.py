"""What a client wants of one gateway: an API and a page ask alike."""

from typing import NamedTuple
from uuid import UUID

from service.api.services.context import services
from service.database.desired.gateways import GatewayRepository
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
