"""The status of gateways: read from observed state, computed by PostgreSQL at the moment of reading."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.database.engine.query import Executor, Query
from service.errors import GatewayNotFoundError


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """A row of gateway_statuses. `state` is never the word of a worker that is not live."""

    id: UUID
    factory_id: UUID
    desired_state: str
    state: str
    state_since: datetime
    reason_code: str | None
    reason_message: str | None
    reason_phase: str | None
    reason_retryable: bool | None
    reason_at: datetime | None
    attempt: int
    next_attempt_at: datetime | None
    connected_since: datetime | None
    last_connected_at: datetime | None
    last_disconnected_at: datetime | None
    last_seen_at: datetime | None
    last_message_at: datetime | None
    generation: int
    observed_generation: int | None
    worker_id: UUID | None
    worker_host: str | None
    worker_lease_expires_at: datetime | None
    as_of: datetime


FIND_BY_ID = Query(
    """
    SELECT
        id, factory_id, desired_state, state, state_since,
        reason_code, reason_message, reason_phase, reason_retryable, reason_at,
        attempt, next_attempt_at, connected_since, last_connected_at, last_disconnected_at,
        last_seen_at, last_message_at, generation, observed_generation,
        worker_id, worker_host, worker_lease_expires_at, as_of
    FROM gateway_statuses
    WHERE id = %(id)s
    """,
    GatewayStatus,
    retryable=True,
)


class StatusRepository:
    """Reads what workers observed."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def find_by_id(self, gateway_id: UUID) -> GatewayStatus:
        """Raises GatewayNotFoundError."""
        status = self._executor.fetch_one(FIND_BY_ID, {"id": gateway_id})
        if status is None:
            raise GatewayNotFoundError
        return status
