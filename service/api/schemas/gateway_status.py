"""The status of a gateway in responses."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from service.api.schemas.base import ResponseModel, action_of
from service.database.views.statuses import GatewayStatus
from service.gateway_states import DesiredState, ReportedState


class StatusReason(ResponseModel):
    """Why a gateway is in its state. `code` is stable; `message` and `action` (what to do) are for people."""

    code: str
    message: str
    phase: str
    retryable: bool
    at: datetime
    action: str = Field(default_factory=action_of)


class StatusWorker(ResponseModel):
    """The worker that holds a gateway."""

    id: UUID
    host: str
    lease_expires_at: datetime


class StatusResponse(ResponseModel):
    """The status of a gateway at the moment `as_of`."""

    id: UUID
    desired_state: DesiredState
    state: ReportedState
    state_since: datetime
    reason: StatusReason | None
    attempt: int
    next_attempt_at: datetime | None
    connected_since: datetime | None
    last_connected_at: datetime | None
    last_disconnected_at: datetime | None
    last_seen_at: datetime | None
    last_message_at: datetime | None
    generation: int
    observed_generation: int | None
    worker: StatusWorker | None
    as_of: datetime

    @classmethod
    def of(cls, row: GatewayStatus) -> Self:
        """From its row."""
        return cls.model_validate(
            {
                **{name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)},
                "reason": _reason_of(row),
                "worker": _worker_of(row),
            }
        )


def _reason_of(row: GatewayStatus) -> dict[str, Any] | None:
    if row.reason_code is None:
        return None
    return {
        "code": row.reason_code,
        "message": row.reason_message,
        "phase": row.reason_phase,
        "retryable": row.reason_retryable,
        "at": row.reason_at,
    }


def _worker_of(row: GatewayStatus) -> dict[str, Any] | None:
    if row.worker_id is None:
        return None
    return {
        "id": row.worker_id,
        "host": row.worker_host,
        "lease_expires_at": row.worker_lease_expires_at,
    }
