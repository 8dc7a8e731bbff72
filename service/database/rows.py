"""Row types, generated from the migrated schema by `make types`. Do not edit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A row of api_tokens."""

    id: UUID
    name: str
    scope: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Factory:
    """A row of factories."""

    id: UUID
    organization_id: UUID
    name: str
    location: str | None
    timezone: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class GatewayConnection:
    """A row of gateway_connections."""

    gateway_id: UUID
    worker_id: UUID | None
    epoch: int | None
    state: str
    state_since: datetime
    reason_code: str | None
    reason_message: str | None
    reason_phase: str | None
    reason_retryable: bool | None
    reason_at: datetime | None
    attempt: int
    next_attempt_at: datetime | None
    observed_generation: int | None
    connected_since: datetime | None
    last_connected_at: datetime | None
    last_disconnected_at: datetime | None
    last_seen_at: datetime | None
    last_message_at: datetime | None
    connects: int
    messages_received: int
    rejected_logins: int
    last_rejected_at: datetime | None


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A row of gateway_events."""

    id: int
    gateway_id: UUID
    at: datetime
    from_state: str
    to_state: str
    reason_code: str | None
    reason_message: str | None
    reason_phase: str | None
    attempt: int
    generation: int | None
    worker_id: UUID | None
    epoch: int | None
    factory_id: UUID | None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A row of gateways."""

    id: UUID
    factory_id: UUID
    device_id: str
    name: str
    model: str | None
    firmware_version: str | None
    url: str
    email: str
    desired_state: str
    connect_requested_at: datetime
    generation: int
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    version: int
    deleted_with_factory: bool
    password_is_confined: bool


@dataclass(frozen=True, slots=True)
class Organization:
    """A row of organizations."""

    id: UUID
    name: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Worker:
    """A row of workers."""

    id: UUID
    epoch: int
    host: str
    pid: int
    version: str
    session_pid: int
    session_started_at: datetime
    lease_duration: timedelta
    gateways_held: int
    started_at: datetime
    heartbeat_at: datetime
    lease_expires_at: datetime
    ended_at: datetime | None
    is_draining: bool
    gateway_capacity: int | None
