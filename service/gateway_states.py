"""The states of a gateway and the reasons for them: the words that the API, SQL and workers share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class State(StrEnum):
    """The states that workers store. Each line's comment says what is true in it."""

    DISCONNECTED = "disconnected"  # no socket: none wanted, or waiting for its turn
    CONNECTING = "connecting"  # name resolution, TCP, TLS or the upgrade is under way
    AUTHENTICATING = "authenticating"  # the socket is open, login or subscription not answered yet
    CONNECTED = "connected"  # logged in, subscribed, and heard from within the liveness limit
    RETRYING = "retrying"  # the last attempt failed or the session ended; the next one has its time
    AUTH_FAILED = "auth_failed"  # the login was rejected several times; retried less and less often
    DISCONNECTING = "disconnecting"  # unsubscribe and close are under way


UNKNOWN: Final = "unknown"
"""Computed, never a connection's state: the worker that holds the gateway is not live."""

ReportedState = Literal[
    "disconnected",
    "connecting",
    "authenticating",
    "connected",
    "retrying",
    "auth_failed",
    "disconnecting",
    "unknown",
]
"""What the API returns: a stored state, or UNKNOWN. (A type cannot be computed; a test compares it.)"""

DesiredState = Literal["connected", "disconnected"]


class Phase(StrEnum):
    """What a connection was doing when it failed, or was asked to stop."""

    CLAIM = "claim"
    RESOLVE = "resolve"
    TCP = "tcp"
    TLS = "tls"
    UPGRADE = "upgrade"
    LOGIN = "login"
    SUBSCRIBE = "subscribe"
    SESSION = "session"
    CLOSE = "close"


class ReasonCode(StrEnum):
    """Stable names of reasons: programs may rely on them."""

    QUEUED = "queued"
    DNS_FAILED = "dns_failed"
    ADDRESS_DENIED = "address_denied"
    CONNECTION_REFUSED = "connection_refused"
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_FAILED = "tls_failed"
    UPGRADE_REJECTED = "upgrade_rejected"
    LOGIN_TIMEOUT = "login_timeout"
    LOGIN_REJECTED = "login_rejected"
    SUBSCRIBE_REJECTED = "subscribe_rejected"
    PASSWORD_REQUIRED = "password_required"  # noqa: S105 - the name of a reason
    PASSWORD_UNREADABLE = "password_unreadable"  # noqa: S105 - the name of a reason
    PING_TIMEOUT = "ping_timeout"
    CLOSED_BY_GATEWAY = "closed_by_gateway"
    CONNECTION_LOST = "connection_lost"
    PROTOCOL_ERROR = "protocol_error"
    MESSAGE_TOO_BIG = "message_too_big"
    CONFIGURATION_CHANGED = "configuration_changed"
    REQUESTED = "requested"
    WORKER_SHUTDOWN = "worker_shutdown"
    REBALANCED = "rebalanced"
    NO_CAPACITY = "no_capacity"
    NO_WORKER = "no_worker"
    WORKER_LOST = "worker_lost"
    DATABASE_HELD = "database_held"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a connection is in its state: a stable code, and a sentence for people."""

    code: ReasonCode
    message: str
    phase: Phase
    retryable: bool = True
    """Whether another attempt can succeed without anyone changing anything."""

    def parameters(self) -> dict[str, object]:
        """For a statement that writes it."""
        return {
            "reason_code": str(self.code),
            "reason_message": self.message,
            "reason_phase": str(self.phase),
            "reason_retryable": self.retryable,
        }


# Written by workers' statements.
QUEUED = Reason(ReasonCode.QUEUED, "Waiting for its turn to connect.", Phase.CLAIM)
WORKER_ENDED = Reason(ReasonCode.WORKER_LOST, "The worker that held this gateway is gone.", Phase.CLAIM)

# Computed by the view gateway_statuses, which has a copy of their words; a test compares them.
NO_WORKER = Reason(ReasonCode.NO_WORKER, "No worker has taken this gateway yet.", Phase.CLAIM)
DATABASE_HELD = Reason(
    ReasonCode.DATABASE_HELD, "This database is a copy that was not taken over.", Phase.CLAIM
)
ALL_WORKERS_FULL = Reason(ReasonCode.NO_CAPACITY, "All workers are at capacity.", Phase.CLAIM)
WORKER_NOT_LIVE = Reason(
    ReasonCode.WORKER_LOST, "The worker that holds this gateway is not heard of.", Phase.CLAIM
)
