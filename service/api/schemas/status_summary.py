"""The summary of all states."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from service.api.schemas.base import ResponseModel
from service.api.schemas.pagination import MAX_LIMIT, CursorText, Limit, ListQuery, Pagination


class StateCounts(ResponseModel):
    """How many gateways are in each state."""

    disconnected: int = 0
    connecting: int = 0
    authenticating: int = 0
    connected: int = 0
    retrying: int = 0
    auth_failed: int = 0
    disconnecting: int = 0
    unknown: int = 0


class FactorySummary(ResponseModel):
    """How many gateways of a factory are in each state."""

    id: UUID
    name: str
    total: int
    states: StateCounts


class SummaryResponse(ResponseModel):
    """How many gateways are in each state, in all and by factory, at the moment `as_of`."""

    total: int
    states: StateCounts
    data: Sequence[FactorySummary]
    pagination: Pagination
    as_of: datetime


class SummaryQuery(ListQuery):
    """Which factories are told of one by one; the numbers of all are always there."""

    KIND: ClassVar[str] = "summary"

    limit: Limit = MAX_LIMIT
    cursor: CursorText | None = None
