"""Workers in responses."""

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from service.api.schemas.base import ResponseModel
from service.api.schemas.pagination import CursorText, ListQuery, Pagination
from service.database.views.workers import RunningWorker


class WorkerResponse(ResponseModel):
    """A worker that has not ended. Unless live, its word does not count; one that drains is leaving.

    `gateway_capacity` is how many gateways it can carry by the limits of its system.
    """

    id: UUID
    host: str
    pid: int
    version: str
    is_live: bool
    is_draining: bool
    started_at: datetime
    heartbeat_at: datetime
    lease_expires_at: datetime
    gateways_held: int
    gateway_capacity: int | None

    @classmethod
    def of(cls, row: RunningWorker) -> Self:
        """From its row."""
        return cls.model_validate(row)


class WorkerListQuery(ListQuery):
    """Which page of the workers."""

    KIND: ClassVar[str] = "workers"
    ORDER: ClassVar[str] = "host"

    cursor: CursorText | None = None


class WorkerPage(ResponseModel):
    """A page of workers."""

    data: list[WorkerResponse]
    pagination: Pagination
