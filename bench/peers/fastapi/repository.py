"""The database interface that the routes use."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from bench.peers.fastapi.schemas import GatewayListQuery, GatewayResponse

Check = Callable[[int], None]
"""Checks the version of the row before its change; may raise."""


class HasVersion(NamedTuple):
    """A gateway and its version."""

    gateway: GatewayResponse
    version: int


class Gateways(Protocol):
    """Live gateways."""

    async def find_by_id(self, gateway_id: UUID) -> HasVersion | None:
        """One."""

    async def find_page(self, query: GatewayListQuery) -> tuple[Sequence[GatewayResponse], int]:
        """Returns one gateway more than the limit, if there is a next page, and the total."""

    async def create(self, gateway_id: UUID, values: dict[str, Any]) -> HasVersion:
        """Raises ApiError."""

    async def update(self, gateway_id: UUID, changes: dict[str, Any], check: Check | None) -> HasVersion:
        """Raises ApiError."""
