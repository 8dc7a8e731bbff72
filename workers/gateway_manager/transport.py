"""An open WebSocket to one gateway: bounded in time and in bytes, and at once to interrupt."""

import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from workers.gateway_manager.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    MessageTooBigError,
    close_code,
    encode_frame,
)
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import Code, ConnectionFailedError, Phase, failed
from workers.gateway_manager.stream import DeadlinePassedError, Stream
from workers.gateway_manager.waker import InterruptedWaitError

_NORMAL_CLOSE = (1000).to_bytes(2, "big")
_FAILURES = (DeadlinePassedError, MessageTooBigError, FrameError, EOFError, OSError)


class Kind(Enum):
    """What arrived."""

    MESSAGE = "message"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Received:
    """Something that arrived: a message with its payload, or a ping or pong."""

    kind: Kind
    payload: bytes = b""


_CONTROL = Received(Kind.CONTROL)


class Transport:
    """Owned by the thread that opened it. Its methods raise ConnectionFailedError and InterruptedWaitError.

    After either only `leave` and `abandon` may be called: half a frame may be out, or half a one read.
    """

    def __init__(self, stream: Stream, settings: SessionSettings) -> None:
        """The stream has been upgraded already."""
        self._stream = stream
        self._settings = settings
        self._frames = FrameReader(settings.max_message_bytes)
        self._has_said_goodbye = False

    def send_text(self, text: str) -> None:
        """Sends a message."""
        self._send(TEXT, text.encode())

    def ping(self) -> None:
        """Sends a ping."""
        self._send(PING, b"")

    def receive(self, until: float, phase: Phase, finish_by: float | None = None) -> Received | None:
        """The next thing that arrives, or None when nothing has begun to by then (monotonic seconds).

        Once a message has begun, its rest may take until `finish_by`, or as long as liveness allows. A close
        is a failure.
        """
        try:
            received = self._receive(until, finish_by)
            if received is None:
                return None
            opcode, payload = received
            code = close_code(payload) if opcode == CLOSE else None
        except _FAILURES as error:
            raise self._failure(error, phase) from None
        if opcode == TEXT:
            return Received(Kind.MESSAGE, payload)
        if opcode == CLOSE:
            raise failed(Code.CLOSED_BY_GATEWAY, phase, _close_message(code))
        if opcode == BINARY:
            raise failed(Code.PROTOCOL_ERROR, phase, "The gateway sent a binary frame.")
        return _CONTROL

    def leave(self, last_words: str | None, interrupted: Callable[[], bool]) -> None:
        """Sends the last message and a close with 1000, waits for the answer, and closes the socket.

        Takes `close_timeout_s` at most. `interrupted` takes the place of what ended the session.
        Raises nothing: a gateway that is gone needs no goodbye.
        """
        self._stream.interrupted = interrupted
        until = monotonic() + self._settings.close_timeout_s
        try:
            if last_words is not None:
                self._send(TEXT, last_words.encode(), until)
            self._send(CLOSE, _NORMAL_CLOSE, until)
            self._has_said_goodbye = True  # theirs is the answer, and wants none
            while monotonic() < until and self.receive(until, Phase.CLOSE, until) is not None:
                pass
        except (ConnectionFailedError, InterruptedWaitError):
            pass
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Closes the socket without a word."""
        self._stream.close()

    def _receive(self, until: float, finish_by: float | None) -> tuple[int, bytes] | None:
        """The next message or control frame, which is answered if it has to be."""
        frames, stream = self._frames, self._stream
        if frames.has_bytes:
            stream.check()
        elif not stream.wait_readable(until):
            return None
        stream.deadline = finish_by or monotonic() + self._settings.liveness_timeout_s
        while (received := frames.take()) is None:
            frames.feed(stream.read())
        opcode, payload = received
        if opcode == PING:
            stream.send_all(encode_frame(PONG, payload, os.urandom(4)))
        elif opcode == CLOSE and not self._has_said_goodbye:
            self._answer_close()
        return received

    def _answer_close(self) -> None:
        """Once, and as far as the peer takes it at once: its code is what matters."""
        self._has_said_goodbye = True
        self._stream.deadline = monotonic()
        with suppress(OSError, DeadlinePassedError):
            self._stream.send_all(encode_frame(CLOSE, _NORMAL_CLOSE, os.urandom(4)))

    def _send(self, opcode: int, payload: bytes, finish_by: float | None = None) -> None:
        try:
            self._stream.deadline = finish_by or monotonic() + self._settings.close_timeout_s
            self._stream.send_all(encode_frame(opcode, payload, os.urandom(4)))
        except _FAILURES as error:
            raise self._failure(error, Phase.SESSION) from None

    def _failure(self, error: Exception, phase: Phase) -> ConnectionFailedError:
        """The reason in what frames and the socket raise."""
        if isinstance(error, DeadlinePassedError):
            code = Code.LOGIN_TIMEOUT if phase is Phase.LOGIN else Code.PING_TIMEOUT
            return failed(code, phase, "The gateway stalled in the middle of a frame.")
        if isinstance(error, MessageTooBigError):
            limit = self._settings.max_message_bytes
            message = f"The gateway sent a message of more than {limit} bytes."
            return failed(Code.MESSAGE_TOO_BIG, phase, message)
        if isinstance(error, FrameError):
            message = f"The gateway broke the WebSocket protocol: {error}."
            return failed(Code.PROTOCOL_ERROR, phase, message)
        if isinstance(error, EOFError):
            return failed(Code.CONNECTION_LOST, phase, "The connection ended without a close.")
        return failed(Code.CONNECTION_LOST, phase, f"The connection was lost: {describe(error)}.")


def describe(error: Exception) -> str:
    """The system's words for an error, without numbers, file names or line numbers."""
    # An error of TLS has the place in OpenSSL's source in its text, and its name in `reason`.
    name = error.reason if isinstance(error, ssl.SSLError) else None
    text = name or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:200].rstrip(".")


def _close_message(code: int | None) -> str:
    if code is None:
        return "The gateway closed the session without a code."
    return f"The gateway closed the session with code {code}."
