"""What the routes ask of a database."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from bench.peers.fastapi.schemas import GatewayListQuery, GatewayResponse

Check = Callable[[int], None]
"""Is shown the version of the row that is about to be changed, and may raise."""


class HasVersion(NamedTuple):
    """A gateway, and which version of it."""

    gateway: GatewayResponse
    version: int


class Gateways(Protocol):
    """Live gateways."""

    async def find_by_id(self, gateway_id: UUID) -> HasVersion | None:
        """One."""

    async def find_page(self, query: GatewayListQuery) -> tuple[Sequence[GatewayResponse], int]:
        """One more than the limit, so that a next page shows; and how many there are in all."""

    async def create(self, gateway_id: UUID, values: dict[str, Any]) -> HasVersion:
        """Raises ApiError."""

    async def update(self, gateway_id: UUID, changes: dict[str, Any], check: Check | None) -> HasVersion:
        """Raises ApiError."""
