"""From an open WebSocket to a session: the login and the subscription, each with its deadline and reasons."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from time import monotonic

from service.crypto import Secret
from service.errors import SealError
from service.gateway_states import Phase, Reason, ReasonCode
from workers.ctc.codec import ProtocolViolationError
from workers.ctc.session import (
    LoginRejectedError,
    LoginRevokedError,
    Session,
    Stage,
    SubscriptionRejectedError,
)
from workers.gateway_manager.connection.gateway_text import known_words, without_numbers
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import failed
from workers.gateway_manager.websocket.progress import NO_PROGRESS, AttemptProgress
from workers.gateway_manager.websocket.transport import Kind, Transport


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is sent to a gateway, and what it may quote."""

    email: str
    password: Secret


class Login:
    """For the thread that owns the transport. Methods raise ConnectionFailedError, InterruptedWaitError."""

    def __init__(
        self, transport: Transport, session: Session, settings: SessionSettings, credentials: Credentials
    ) -> None:
        self._transport = transport
        self._session = session
        self._settings = settings
        self._credentials = credentials

    def log_in(self, progress: AttemptProgress = NO_PROGRESS) -> None:
        """Raises LoginRejectedError, too."""
        progress.on_phase(Phase.LOGIN)
        self._transport.send_text(
            self._session.log_in(self._credentials.email, self._credentials.password.reveal()),
            Phase.LOGIN,
        )
        deadline = progress.clamp_to_deadline(monotonic() + self._settings.login_timeout_s)
        if not self._receive_while(Stage.LOGGING_IN, deadline, Phase.LOGIN, deadline):
            message = "The gateway did not answer the login in time."
            raise failed(ReasonCode.LOGIN_TIMEOUT, Phase.LOGIN, message)

    def subscribe(self, progress: AttemptProgress = NO_PROGRESS) -> None:
        """Requests the subscription without waiting for a response."""
        progress.on_phase(Phase.SUBSCRIBE)
        self._transport.send_text(self._session.subscribe(), Phase.SUBSCRIBE)

    def await_subscription(self, progress: AttemptProgress = NO_PROGRESS) -> None:
        """Waits for the response; by the manual, silence is success. Raises LoginRejectedError, too."""
        deadline = progress.clamp_to_deadline(monotonic() + self._settings.subscribe_grace_s)
        finish_by = None if progress.finish_by == inf else progress.finish_by
        if not self._receive_while(Stage.SUBSCRIBING, deadline, Phase.SUBSCRIBE, finish_by):
            self._session.assume_subscribed()

    def _receive_while(self, stage: Stage, deadline: float, phase: Phase, finish_by: float | None) -> bool:
        """Receives until the session leaves the stage (True) or the time is up (False)."""
        while self._session.stage is stage:
            if monotonic() >= deadline:
                return False
            received = self._transport.receive(deadline, phase, finish_by)
            if received is not None and received.kind is Kind.MESSAGE:
                feed(self._session, received.payload, phase, lambda: self._credentials)
        return True


def feed(session: Session, payload: bytes, phase: Phase, credentials: Callable[[], Credentials]) -> None:
    """Passes a message to the session. Raises ConnectionFailedError, LoginRejectedError."""
    try:
        session.receive(payload)
    except ProtocolViolationError as violation:
        message = f"The gateway broke the protocol: {violation}."
        raise failed(ReasonCode.PROTOCOL_ERROR, phase, message) from None
    except SubscriptionRejectedError as rejection:
        what = with_quote("The gateway rejected the subscription", str(rejection), credentials())
        raise failed(ReasonCode.SUBSCRIBE_REJECTED, Phase.SUBSCRIBE, what, retryable=False) from None


def rejection_reason(rejection: LoginRejectedError, credentials: Credentials) -> Reason:
    """The reason of a login that was rejected, or accepted and revoked."""
    is_revoked = isinstance(rejection, LoginRevokedError)
    what = "The gateway revoked the login" if is_revoked else "The gateway rejected the login"
    message = with_quote(what, str(rejection), credentials)
    return Reason(ReasonCode.LOGIN_REJECTED, message, Phase.LOGIN, retryable=is_revoked)


def without_password(reason: Reason, password: Callable[[], Secret]) -> Reason:
    """Hides the password in a reason: a gateway may send it as a code or status, if it is a number."""
    try:
        message = without_numbers(reason.message, [password().reveal()])
    except SealError:
        return reason
    return replace(reason, message=message)


def with_quote(sentence: str, gateway_text: str, credentials: Credentials) -> str:
    """The sentence, with the words of the gateway's text that may be shown."""
    words = known_words(gateway_text, credentials.email, credentials.password.reveal())
    return sentence + (f": {words}" if words else "") + "."
