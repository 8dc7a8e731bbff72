"""The states of a connection, the moves between them, and the reasons for a move."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Each line's comment says what is true in it."""

    DISCONNECTED = "disconnected"  # no socket: none wanted, or waiting for its turn
    CONNECTING = "connecting"  # name resolution, TCP, TLS or the upgrade is under way
    AUTHENTICATING = "authenticating"  # the socket is open, login or subscription not answered yet
    CONNECTED = "connected"  # logged in, subscribed, and heard of within the liveness limit
    RETRYING = "retrying"  # the last attempt failed or the session ended; the next one has its time
    AUTH_FAILED = "auth_failed"  # the login was rejected several times; tried again ever more rarely
    DISCONNECTING = "disconnecting"  # unsubscribe and close are under way


MOVES: dict[State, frozenset[State]] = {
    # Not to connecting first: the worker that held it before was rejected, and the next try has its time.
    State.DISCONNECTED: frozenset({State.CONNECTING, State.RETRYING, State.AUTH_FAILED}),
    # To auth_failed again: the rare attempt of a quarantined gateway did not even get to the login.
    State.CONNECTING: frozenset(
        {State.AUTHENTICATING, State.RETRYING, State.AUTH_FAILED, State.DISCONNECTED}
    ),
    State.AUTHENTICATING: frozenset(
        {State.CONNECTED, State.RETRYING, State.AUTH_FAILED, State.DISCONNECTING}
    ),
    State.CONNECTED: frozenset({State.RETRYING, State.DISCONNECTING}),
    State.RETRYING: frozenset({State.CONNECTING, State.DISCONNECTED}),
    State.AUTH_FAILED: frozenset({State.CONNECTING, State.DISCONNECTED}),
    State.DISCONNECTING: frozenset({State.DISCONNECTED}),
}
"""Every legal move. Anything else is a mistake of ours."""


class IllegalMoveError(Exception):
    """A connection was to move where it can not; nothing was changed."""


def check_move(current: State, following: State) -> None:
    """Raises IllegalMoveError unless the move is in the table."""
    if following not in MOVES[current]:
        raise IllegalMoveError(f"{current} does not lead to {following}")


class Phase(StrEnum):
    """What a connection was doing when it failed, or was told to stop."""

    CLAIM = "claim"
    RESOLVE = "resolve"
    TCP = "tcp"
    TLS = "tls"
    UPGRADE = "upgrade"
    LOGIN = "login"
    SUBSCRIBE = "subscribe"
    SESSION = "session"
    CLOSE = "close"


class Code(StrEnum):
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
    WORKER_LOST = "worker_lost"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a connection is in its state: a stable code, and a sentence for people."""

    code: Code
    message: str
    phase: Phase
    retryable: bool = True
    """Whether trying again can help without anyone changing anything."""


QUEUED = Reason(Code.QUEUED, "Waiting for its turn to connect.", Phase.CLAIM)
REQUESTED = Reason(Code.REQUESTED, "Disconnected on request.", Phase.SESSION, retryable=False)
CONFIGURATION_CHANGED = Reason(
    Code.CONFIGURATION_CHANGED, "The address or the credentials changed.", Phase.SESSION
)
WORKER_SHUTDOWN = Reason(Code.WORKER_SHUTDOWN, "The worker that held this gateway stopped.", Phase.SESSION)
REBALANCED = Reason(Code.REBALANCED, "Handed over to a worker that holds fewer gateways.", Phase.SESSION)
NO_CAPACITY = Reason(Code.NO_CAPACITY, "The worker is at capacity.", Phase.CLAIM)
LOGIN_REJECTED_BEFORE = Reason(
    Code.LOGIN_REJECTED,
    "The gateway rejected the login when another worker held it.",
    Phase.LOGIN,
    retryable=False,
)
WORKER_LOST = Reason(Code.WORKER_LOST, "The worker lost its right to this gateway, or failed.", Phase.CLAIM)


class ConnectionFailedError(Exception):
    """An attempt failed, or a session ended without our asking."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


def failed(code: Code, phase: Phase, message: str, *, retryable: bool = True) -> ConnectionFailedError:
    """Short for the error with its reason."""
    return ConnectionFailedError(Reason(code, message, phase, retryable))
