"""A session in the protocol: log in, subscribe, receive, leave. No sockets, no clock."""

from enum import Enum

from workers.ctc.codec import decode_message, encode_command
from workers.ctc.messages import (
    POST_LOGIN,
    POST_SUB_CHANGES,
    POST_UNSUB_CHANGES,
    RTN_ERR,
    RTN_LOGIN,
    CommandError,
    Message,
    login_succeeded,
)


class Stage(Enum):
    """The stage of a session."""

    NEW = "nothing was sent; nothing but a login may be"
    LOGGING_IN = "POST_LOGIN was sent and not answered"
    LOGGED_IN = "the login was accepted, nothing sent since"
    SUBSCRIBING = "POST_SUB_CHANGES was sent; silence will mean success"
    LIVE = "subscribed: notifications arrive at any time"
    LEFT = "POST_UNSUB_CHANGES was sent; what still arrives is of no interest"


class LoginRejectedError(Exception):
    """The gateway rejected the credentials; the text is the gateway's."""


class LoginRevokedError(LoginRejectedError):
    """The gateway revoked a login that it had accepted."""


class SubscriptionRejectedError(Exception):
    """The gateway rejected the subscription; the text is the gateway's."""


class Session:
    """Turns messages into stages and returns what to send. One thread at a time."""

    def __init__(self) -> None:
        self.stage = Stage.NEW

    def log_in(self, email: str, password: str) -> str:
        """The text of the login command. The session keeps neither argument."""
        self._advance(Stage.NEW, Stage.LOGGING_IN)
        return encode_command(POST_LOGIN, {"Email": email, "Password": password})

    def subscribe(self) -> str:
        """The text of the subscription command."""
        self._advance(Stage.LOGGED_IN, Stage.SUBSCRIBING)
        return encode_command(POST_SUB_CHANGES, {})

    def assume_subscribed(self) -> None:
        """No rejection came in time: by the manual, that is success."""
        self._advance(Stage.SUBSCRIBING, Stage.LIVE)

    def leave(self) -> str | None:
        """The text that ends the subscription, or None without one."""
        subscribed = self.stage in (Stage.SUBSCRIBING, Stage.LIVE)
        self.stage = Stage.LEFT
        return encode_command(POST_UNSUB_CHANGES, {}) if subscribed else None

    def receive(self, payload: bytes) -> Message:
        """Decodes a text frame and advances the stage.

        Raises LoginRejectedError (LoginRevokedError after a success), SubscriptionRejectedError,
        ProtocolViolationError.
        """
        message = decode_message(payload)
        if self.stage is Stage.LOGGING_IN:
            self._receive_login_answer(message)
        elif self.stage in (Stage.SUBSCRIBING, Stage.LIVE):
            self._receive_subscribed(message)
        return message

    def _receive_login_answer(self, message: Message) -> None:
        if message.type == RTN_LOGIN and login_succeeded(message):
            self.stage = Stage.LOGGED_IN
        elif message.type in (RTN_LOGIN, RTN_ERR):
            raise LoginRejectedError(CommandError.of(message).text)

    def _receive_subscribed(self, message: Message) -> None:
        if message.type == RTN_ERR:
            error = CommandError.of(message)
            if error.attempt == POST_LOGIN:
                raise LoginRevokedError(error.text)
            # An error without a name responds to the one command without a response.
            unnamed = error.attempt is None and self.stage is Stage.SUBSCRIBING
            if unnamed or error.attempt == POST_SUB_CHANGES:
                raise SubscriptionRejectedError(error.text)
        elif message.type == RTN_LOGIN and not login_succeeded(message):
            raise LoginRevokedError(CommandError.of(message).text)
        elif message.is_answer or message.is_notification:
            self.stage = Stage.LIVE

    def _advance(self, expected: Stage, following: Stage) -> None:
        if self.stage is not expected:
            raise AssertionError(f"a session does not go from {self.stage.name} to {following.name}")
        self.stage = following
