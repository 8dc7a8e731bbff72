"""An open WebSocket to one gateway: bounded in time and bytes, and interruptible."""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import monotonic

import websocket
from websocket import ABNF

from service.gateway_states import Phase, ReasonCode
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import ConnectionFailedError, failed
from workers.gateway_manager.websocket.bounded_websocket import BoundedWebSocket, MessageTooBigError
from workers.gateway_manager.websocket.read_budget import ReadBudget
from workers.gateway_manager.websocket.stream import DeadlinePassedError, Stream
from workers.gateway_manager.websocket.waker import InterruptedWaitError

_PING_BYTES = 4
_ENDED_UNREAD = "The connection ended; of what came before, not all was read, as it was too much."
_NORMAL_CLOSE = (1000).to_bytes(2, "big")
# RFC 6455, section 7.4.1.
_PROTOCOL_ERROR, _UNSUPPORTED_DATA, _MESSAGE_TOO_BIG = 1002, 1003, 1009
_VIOLATIONS = (websocket.WebSocketProtocolException, websocket.WebSocketPayloadException)
_FAILURES = (DeadlinePassedError, MessageTooBigError, websocket.WebSocketException, OSError)


class Kind(Enum):
    """What arrived."""

    MESSAGE = "message"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Received:
    """Something that arrived: a message with its payload (as far as it is kept), or a ping or pong."""

    kind: Kind
    payload: bytes = b""


_CONTROL = Received(Kind.CONTROL)


class Transport:
    """Owned by the thread that opened it. Methods raise ConnectionFailedError and InterruptedWaitError.

    After either, only `close` and `abort` may be called: a frame may be half sent or half read.
    """

    def __init__(self, stream: Stream, web_socket: BoundedWebSocket, settings: SessionSettings) -> None:
        self._stream = stream
        self._web_socket = web_socket
        self._settings = settings
        self._budget = ReadBudget(settings, monotonic())
        self._read_at = 0.0
        """Nothing is read until then: TCP's flow control slows the gateway down."""
        self.is_lagging = False
        """Data may have waited unread since reading was slowed: it may be old when it is read."""
        self._pings: list[tuple[bytes, float]] = []
        """Recent pings: their payload, and when they were sent."""
        self.heard_at = monotonic()
        """When the gateway is known to have been there (monotonic seconds)."""

    def send_text(self, text: str, phase: Phase) -> None:
        """Sends a message."""
        self._send(text.encode(), ABNF.OPCODE_TEXT, phase)

    def ping(self) -> None:
        """Sends a ping with a random payload, which its pong has to repeat."""
        now = monotonic()
        self._pings = [one for one in self._pings if one[1] > now - self._settings.liveness_timeout_s]
        self._pings.append((os.urandom(_PING_BYTES), now))
        self._send(self._pings[-1][0], ABNF.OPCODE_PING, Phase.SESSION)

    def receive(self, until: float, phase: Phase, finish_by: float | None = None) -> Received | None:
        """The next message, ping or pong, or None if none has started by then (monotonic seconds).

        What a gateway sends beyond its budget is read later. Once a message has begun, its rest may take
        until `finish_by`, or as long as liveness allows. A close is a failure.
        """
        try:
            if self._read_at > monotonic() and self._stream.wait_hung_up(min(until, self._read_at)):
                raise failed(ReasonCode.CONNECTION_LOST, phase, _ENDED_UNREAD)
            if self._read_at > until:
                return None
            if self.is_lagging and not self._stream.wait_readable(monotonic()):
                self.is_lagging = False
            if not self._stream.wait_readable(until):
                return None
            self._stream.deadline = finish_by or monotonic() + self._settings.liveness_timeout_s
            opcode, frame = self._web_socket.recv_data_frame(control_frame=True)
        except _FAILURES as error:
            self._send_close_code(error)
            raise self._failure(error, phase) from None
        now = monotonic()
        self._hear(opcode, frame.data, now)
        if pause_s := self._budget.take(now, *self._web_socket.take_counts()):
            self._read_at, self.is_lagging = now + pause_s, True
        if opcode == ABNF.OPCODE_CLOSE:
            raise failed(ReasonCode.CLOSED_BY_GATEWAY, phase, _close_message(frame.data))
        if opcode == ABNF.OPCODE_BINARY:
            self._web_socket.send_close(_UNSUPPORTED_DATA)
            raise failed(ReasonCode.PROTOCOL_ERROR, phase, "The gateway sent a binary frame.")
        return Received(Kind.MESSAGE, frame.data) if opcode == ABNF.OPCODE_TEXT else _CONTROL

    def close(self, final_message: str | None, interrupted: Callable[[], bool]) -> None:
        """Sends the last message and a close with 1000, waits for the response, and closes the socket.

        Takes `close_timeout_s` at most. `interrupted` replaces what ended the session.
        Raises nothing: the gateway may be gone.
        """
        self._stream.interrupted = interrupted
        until = monotonic() + self._settings.close_timeout_s
        try:
            if final_message is not None:
                self._send(final_message.encode(), ABNF.OPCODE_TEXT, Phase.CLOSE, until)
            self._send(_NORMAL_CLOSE, ABNF.OPCODE_CLOSE, Phase.CLOSE, until)
            self._web_socket.connected = False  # the gateway's close is the response, and needs none
            while monotonic() < until and self.receive(until, Phase.CLOSE, until) is not None:
                pass
        except (ConnectionFailedError, InterruptedWaitError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Closes the socket without sending anything."""
        self._stream.close()
        self._web_socket.break_cycles()

    def _hear(self, opcode: int, payload: bytes, now: float) -> None:
        """Something was read. Data that may be old proves nothing; the pong to a recent ping does."""
        if not self.is_lagging:
            self.heard_at = now
        elif opcode == ABNF.OPCODE_PONG:
            self.heard_at = max([self.heard_at, *(at for sent, at in self._pings if sent == payload)])

    def _send(self, payload: bytes, opcode: int, phase: Phase, finish_by: float | None = None) -> None:
        try:
            self._stream.deadline = finish_by or monotonic() + self._settings.close_timeout_s
            self._web_socket.send(payload, opcode)
        except _FAILURES as error:
            raise self._failure(error, phase) from None

    def _send_close_code(self, error: Exception) -> None:
        """Sends a close code that names the gateway's fault: RFC 6455, section 7.1.7."""
        if isinstance(error, MessageTooBigError):
            self._web_socket.send_close(_MESSAGE_TOO_BIG)
        elif isinstance(error, _VIOLATIONS):
            self._web_socket.send_close(_PROTOCOL_ERROR)

    def _failure(self, error: Exception, phase: Phase) -> ConnectionFailedError:
        """The reason for what websocket-client and the socket raise."""
        if isinstance(error, DeadlinePassedError):
            code = ReasonCode.LOGIN_TIMEOUT if phase is Phase.LOGIN else ReasonCode.PING_TIMEOUT
            return failed(code, phase, "The gateway stalled in the middle of a frame.")
        if isinstance(error, MessageTooBigError):
            return failed(ReasonCode.MESSAGE_TOO_BIG, phase, f"The gateway sent a message {error}.")
        if isinstance(error, websocket.WebSocketConnectionClosedException):
            return failed(ReasonCode.CONNECTION_LOST, phase, "The connection ended without a close.")
        if isinstance(error, _VIOLATIONS):
            # Only the other one may quote the peer's text.
            is_of_frames = isinstance(error, websocket.WebSocketProtocolException)
            what = (
                str(error).rstrip(".").replace("close opcode", "close code") if is_of_frames else "its text"
            )
            message = f"The gateway broke the WebSocket protocol: {what}."
            return failed(ReasonCode.PROTOCOL_ERROR, phase, message)
        return failed(ReasonCode.CONNECTION_LOST, phase, f"The connection was lost: {describe(error)}.")


def describe(error: Exception) -> str:
    """The system's words for an error, without numbers, file names or line numbers."""
    # An error of TLS has the place in OpenSSL's source in its text, and its name in `reason`.
    name = error.reason if isinstance(error, ssl.SSLError) else None
    # Other texts may quote what the peer sent.
    text = name or getattr(error, "strerror", None) or type(error).__name__
    return str(text)[:200].rstrip(".")


def _close_message(payload: bytes) -> str:
    if len(payload) < 2:
        return "The gateway closed the session without a code."
    return f"The gateway closed the session with code {int.from_bytes(payload[:2], 'big')}."
