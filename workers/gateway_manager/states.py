"""The transitions between states of a connection, and the reasons that workers give for them."""

from service.gateway_states import Phase, Reason, ReasonCode, State

TRANSITIONS: dict[State, frozenset[State]] = {
    # Directly to these two: a previous worker's login was rejected, and the next attempt has its time.
    State.DISCONNECTED: frozenset({State.CONNECTING, State.RETRYING, State.AUTH_FAILED}),
    # To auth_failed again: a rare attempt of a quarantined gateway failed before the login.
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
"""Every legal transition. Any other is a bug."""


class IllegalTransitionError(Exception):
    """This transition is not in the table; nothing was changed."""


def check_transition(current: State, following: State) -> None:
    """Raises IllegalTransitionError unless the transition is in the table."""
    if following not in TRANSITIONS[current]:
        raise IllegalTransitionError(f"{current} does not lead to {following}")


REQUESTED = Reason(ReasonCode.REQUESTED, "Disconnected on request.", Phase.SESSION, retryable=False)
CONFIGURATION_CHANGED = Reason(
    ReasonCode.CONFIGURATION_CHANGED, "The address or the credentials changed.", Phase.SESSION
)
WORKER_SHUTDOWN = Reason(
    ReasonCode.WORKER_SHUTDOWN, "The worker that held this gateway stopped.", Phase.SESSION
)
REBALANCED = Reason(
    ReasonCode.REBALANCED, "Handed over to a worker that holds fewer gateways.", Phase.SESSION
)
NO_CAPACITY = Reason(ReasonCode.NO_CAPACITY, "The worker is at capacity.", Phase.CLAIM)
LOGIN_REJECTED_BEFORE = Reason(
    ReasonCode.LOGIN_REJECTED,
    "The gateway rejected the login when another worker held it.",
    Phase.LOGIN,
    retryable=False,
)
WORKER_LOST = Reason(ReasonCode.WORKER_LOST, "The worker lost its lease, or failed.", Phase.CLAIM)


class ConnectionFailedError(Exception):
    """An attempt failed, or a session ended unexpectedly."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


def failed(code: ReasonCode, phase: Phase, message: str, *, retryable: bool = True) -> ConnectionFailedError:
    """Short for the error with its reason."""
    return ConnectionFailedError(Reason(code, message, phase, retryable))
