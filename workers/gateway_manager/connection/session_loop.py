"""A session on an open transport: log in, subscribe, receive and ping."""

import random
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from service.errors import SealError
from service.gateway_states import Phase, ReasonCode
from workers.ctc.session import Session
from workers.gateway_manager.connection.keepalive import SessionClock
from workers.gateway_manager.connection.login import Credentials, Login, feed
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import failed
from workers.gateway_manager.websocket.progress import AttemptProgress
from workers.gateway_manager.websocket.transport import Kind, Transport


class ActivityCallback(Protocol):
    """Records that the gateway was heard from."""

    def __call__(self, at: float, *, is_message: bool) -> None:
        """`at`: when (monotonic seconds)."""


class SessionLoop:
    """For the thread that owns the transport. Methods raise ConnectionFailedError, InterruptedWaitError."""

    def __init__(
        self, transport: Transport, settings: SessionSettings, credentials: Callable[[], Credentials]
    ) -> None:
        """`credentials` may raise SealError."""
        self._transport = transport
        self._settings = settings
        self._credentials = credentials
        self._session = Session()

    def log_in(self, progress: AttemptProgress) -> Login:
        """Logs in and requests the subscription, each within its deadline. Raises LoginRejectedError, too."""
        try:
            credentials = self._credentials()
        except SealError:
            message = "ENCRYPTION_KEY does not decrypt the stored password: store the password again."
            raise failed(ReasonCode.PASSWORD_UNREADABLE, Phase.LOGIN, message, retryable=False) from None
        login = Login(self._transport, self._session, self._settings, credentials)
        login.log_in(progress)
        login.subscribe(progress)
        return login

    @property
    def heard_at(self) -> float:
        """When the gateway is known to have been there."""
        return self._transport.heard_at

    def run(self, on_activity: ActivityCallback) -> None:
        """Receives and pings until the session ends, which raises. Raises LoginRejectedError, too.

        `on_activity` is called after each frame.
        """
        transport, settings = self._transport, self._settings
        clock = SessionClock.starting(settings, monotonic(), random.random())  # noqa: S311 - no secret
        clock.last_seen_at = transport.heard_at
        while True:
            received = transport.receive(clock.wake_at, Phase.SESSION)
            now = monotonic()
            if received is not None:
                clock.last_seen_at = transport.heard_at
                is_message = received.kind is Kind.MESSAGE
                on_activity(transport.heard_at, is_message=is_message)
                if is_message:
                    feed(self._session, received.payload, Phase.SESSION, self._credentials)
            if now >= clock.silent_at:
                limit_s = settings.liveness_timeout_s
                message = f"No data or pong received for {limit_s:g} s."
                if transport.is_lagging:
                    message = f"The gateway's data arrives over {limit_s:g} s late: it sends too much."
                raise failed(ReasonCode.PING_TIMEOUT, Phase.SESSION, message)
            if clock.ping_is_due(now):
                transport.ping()

    def close(self, interrupted: Callable[[], bool]) -> None:
        """Unsubscribes and closes, within `close_timeout_s`. Raises nothing."""
        self._transport.close(self._session.leave(), interrupted)

    def abort(self) -> None:
        """Closes the socket without sending anything."""
        self._transport.abort()
