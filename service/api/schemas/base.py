"""Every body that the API takes and gives."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.fields import (
    DeviceId,
    Email,
    Id,
    Location,
    Metadata,
    Name,
    Password,
    ShortText,
    Timezone,
    WebSocketUrl,
)
from service.database.rows import Factory
from service.database.views.statuses import GatewayStatus
from service.database.views.workers import RunningWorker
from service.gateway_states import DesiredState, ReportedState


def unset() -> Any:
    """The default of a field that need not be there, yet is never null: only named fields are ever read."""
    return None


class RequestModel(BaseModel):
    """A request's body: nothing but the fields that are listed, each of exactly its type."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True, frozen=True)

    def provided_fields(self) -> dict[str, Any]:
        """The fields that the request names, and no others."""
        return {name: getattr(self, name) for name in self.model_fields_set}


ReadOnly = Annotated[
    Any, Field(default_factory=unset, description="Accepted as returned by GET, and ignored.")
]


class UpdateModel(RequestModel):
    """Changes to a resource. What was read may be sent back: fields that only we write are ignored."""

    READ_ONLY: ClassVar[frozenset[str]] = frozenset({"id", "created_at", "updated_at", "deleted_at"})

    id: ReadOnly
    created_at: ReadOnly
    updated_at: ReadOnly
    deleted_at: ReadOnly

    def provided_fields(self) -> dict[str, Any]:
        """The fields that the request names and that can be changed."""
        return {
            name: value for name, value in super().provided_fields().items() if name not in self.READ_ONLY
        }

    def is_of(self, row_id: UUID) -> bool:
        """Whether it is meant for this resource, as far as it says."""
        return "id" not in self.model_fields_set or str(self.id).lower() == str(row_id)


class EmptyBody(RequestModel):
    """For requests that have nothing to say."""


class FactoryCreate(RequestModel):
    """A new factory."""

    name: Name
    organization_id: Id = Field(default_factory=unset)
    location: Location | None = None
    timezone: Timezone = "UTC"
    metadata: Metadata = Field(default_factory=dict)


class FactoryUpdate(UpdateModel):
    """Changes to a factory: what is not named stays."""

    name: Name = Field(default_factory=unset)
    organization_id: Id = Field(default_factory=unset)
    location: Location | None = None
    timezone: Timezone = Field(default_factory=unset)
    metadata: Metadata = Field(default_factory=unset)


class GatewayCreate(RequestModel):
    """A new gateway. `gateway_id` is the device's own name."""

    factory_id: Id
    gateway_id: DeviceId
    name: Name
    url: WebSocketUrl
    email: Email
    password: Password
    model: ShortText | None = None
    firmware_version: ShortText | None = None
    metadata: Metadata = Field(default_factory=dict)


class GatewayUpdate(UpdateModel):
    """Changes to a gateway: what is not named stays, the password too."""

    READ_ONLY = UpdateModel.READ_ONLY | {"desired_state", "generation", "last_seen_at"}

    factory_id: Id = Field(default_factory=unset)
    gateway_id: DeviceId = Field(default_factory=unset)
    name: Name = Field(default_factory=unset)
    url: WebSocketUrl = Field(default_factory=unset)
    email: Email = Field(default_factory=unset)
    password: Password = Field(default_factory=unset)
    model: ShortText | None = None
    firmware_version: ShortText | None = None
    metadata: Metadata = Field(default_factory=unset)
    desired_state: ReadOnly
    generation: ReadOnly
    last_seen_at: ReadOnly


class ResponseModel(BaseModel):
    """A response's body. Times are RFC 3339 in UTC."""

    model_config = ConfigDict(
        from_attributes=True, frozen=True, json_schema_serialization_defaults_required=True
    )


class FactoryResponse(ResponseModel):
    """A factory."""

    id: UUID
    organization_id: UUID
    name: str
    location: str | None
    timezone: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @classmethod
    def of(cls, row: Factory) -> Self:
        """From its row."""
        return cls.model_validate(row)


class GatewayResponse(ResponseModel):
    """A gateway as it should be, and when it was last heard of; its password is never shown."""

    id: UUID
    factory_id: UUID
    gateway_id: str
    name: str
    model: str | None
    firmware_version: str | None
    url: str
    email: str
    desired_state: DesiredState
    generation: int
    metadata: dict[str, Any]
    last_seen_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class StatusReason(ResponseModel):
    """Why a gateway is in its state. `code` is stable, `message` is for people."""

    code: str
    message: str
    phase: str
    retryable: bool
    at: datetime


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


class HealthResponse(ResponseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


class BriefReadinessResponse(ResponseModel):
    """The service can keep its promises; the rest is for those who show a token."""

    status: Literal["ready"] = "ready"


class ReadinessResponse(ResponseModel):
    """The service can keep its promises."""

    status: Literal["ready"] = "ready"
    database: Literal["ok"] = "ok"
    migrations: str
    """The version of the newest migration that the database has."""
    workers: int
    """How many are live."""


class ErrorDetail(ResponseModel):
    """One mistake: where it is (a dotted path), what it is, for people and for programs."""

    field: str
    message: str
    type: str


class ErrorBody(ResponseModel):
    """What went wrong. `code` is stable, `message` is for people."""

    code: str
    message: str
    details: list[ErrorDetail]
    request_id: str


class ErrorResponse(ResponseModel):
    """The body of every response with a status of 400 or more."""

    error: ErrorBody


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
