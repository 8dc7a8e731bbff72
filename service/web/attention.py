"""The gateways that need somebody's attention, those that were longest without a connection first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.api.schemas.gateway_status import StatusResponse
from service.api.schemas.gateways import ListedGatewayResponse
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateway_lists import GatewayFilter
from service.database.desired.gateways import GatewayRepository
from service.database.engine.paging import MOST_ROWS, PageStart
from service.database.engine.query import Executor
from service.database.rows import Factory
from service.gateway_states import UNKNOWN, ReportedState

STATES: tuple[ReportedState, ...] = ("retrying", "auth_failed", "unknown")
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """A gateway whose status says that it is not connected, or not known to be."""

    gateway: ListedGatewayResponse
    status: StatusResponse
    factory: Factory

    @property
    def since(self) -> datetime | None:
        """When its connection ended; None if it never had one. Of what is unknown, when that began."""
        if self.status.state == UNKNOWN:
            return self.status.state_since
        return self.status.last_disconnected_at


def find_attention(database: Executor) -> Sequence[Trouble]:
    """The first SHOWN of them. Raises DatabaseError.

    Each attempt begins a state anew, so these are put in order by when their connection ended.
    """
    which = GatewayFilter(states=STATES)
    page = GatewayRepository(database).list_json(
        PageStart(), MOST_ROWS, which, "state_since", has_status=True
    )
    found = [ListedGatewayResponse.model_validate_json(body) for body in page.bodies]
    known = [(gateway, gateway.status) for gateway in found if gateway.status is not None]
    # One may have recovered between the choice of the rows and their statuses.
    troubled = [(gateway, status) for gateway, status in known if status.state in STATES]
    factories = FactoryRepository(database).find_by_ids({gateway.factory_id for gateway, _ in troubled})
    troubles = [
        Trouble(gateway, status, factories[gateway.factory_id])
        for gateway, status in troubled
        if gateway.factory_id in factories
    ]
    troubles.sort(key=lambda each: each.since or each.gateway.created_at)
    return troubles[:SHOWN]
