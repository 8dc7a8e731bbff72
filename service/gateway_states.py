"""The states of a gateway and the reasons for them: the words that the API, SQL and workers share."""

from collections.abc import Mapping
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


ACTIONS: Final[Mapping[ReasonCode, str]] = {
    ReasonCode.QUEUED: "Nothing: the worker connects it in turn.",
    ReasonCode.DNS_FAILED: "Check the host name in the url, and the name server of the worker's machine.",
    ReasonCode.ADDRESS_DENIED: "Check the url; if it is right, an administrator must allow the address "
    "(GATEWAY_NETWORKS_ALLOWED, GATEWAY_NETWORKS_DENIED).",
    ReasonCode.CONNECTION_REFUSED: "Check that the gateway is running, that the port in the url is "
    "right, and that no firewall rejects the worker.",
    ReasonCode.CONNECT_FAILED: "Check the address in the url, and the network between the worker and the "
    "gateway.",
    ReasonCode.CONNECT_TIMEOUT: "Check that the gateway has power and network, that the address in "
    "the url is right, and that no firewall drops the worker's packets.",
    ReasonCode.TLS_FAILED: "Check the gateway's certificate (valid, trusted, for this host name) and whether "
    "the url needs wss:// or ws://.",
    ReasonCode.UPGRADE_REJECTED: "Check that port and path in the url lead to the gateway's WebSocket, "
    "and not to another service.",
    ReasonCode.LOGIN_TIMEOUT: "Restart the gateway if this continues: it accepts connections but does not "
    "answer the login.",
    ReasonCode.LOGIN_REJECTED: "Check email and password, and that the account still exists on the gateway; "
    "save them, and the worker tries again at once.",
    ReasonCode.SUBSCRIBE_REJECTED: "Check that the account may receive data on the gateway.",
    ReasonCode.PASSWORD_REQUIRED: "Enter the password again: the stored one was given for another address.",
    ReasonCode.PASSWORD_UNREADABLE: "Enter the password again, or have an administrator give the worker "
    "the key that it was encrypted with (ENCRYPTION_KEYS_OLD).",
    ReasonCode.PING_TIMEOUT: "Check the gateway's power and network if it does not return.",
    ReasonCode.CLOSED_BY_GATEWAY: "Look at the gateway's own log if this repeats, and whether another client "
    "uses the same account.",
    ReasonCode.CONNECTION_LOST: "Check the network to the gateway, and whether it restarts, if this repeats.",
    ReasonCode.PROTOCOL_ERROR: "Check that the url leads to a gateway, and that its firmware is up to date.",
    ReasonCode.MESSAGE_TOO_BIG: "Check the gateway's firmware; an administrator can raise MAX_MESSAGE_BYTES.",
    ReasonCode.CONFIGURATION_CHANGED: "Nothing: the worker connects again with the new values.",
    ReasonCode.REQUESTED: "Connect it when it should be connected again.",
    ReasonCode.WORKER_SHUTDOWN: "Nothing if another worker is running; otherwise start one.",
    ReasonCode.REBALANCED: "Nothing: another worker connects it.",
    ReasonCode.NO_CAPACITY: "Start another worker, or raise the limits of those that run.",
    ReasonCode.NO_WORKER: "Check that a worker is running; a running one takes it within seconds.",
    ReasonCode.DATABASE_HELD: "Once no worker uses the original database, an administrator takes this copy "
    "over (make take-over).",
    ReasonCode.WORKER_LOST: "Nothing if another worker is running: it takes over within seconds. Otherwise "
    "start one.",
    ReasonCode.INTERNAL_ERROR: "Report it with the worker's log: this is a bug.",
}
"""What a person can do, for every reason."""
UNLISTED_ACTION: Final = "Read the message; the worker's log has more."
"""For the code of another version, which this one does not know."""


def action_for(code: str) -> str:
    """What a person can do about a reason with this code."""
    return ACTIONS[ReasonCode(code)] if code in set(ReasonCode) else UNLISTED_ACTION


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
