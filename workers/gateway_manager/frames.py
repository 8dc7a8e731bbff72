"""websocket-client with bounds: it has none of its own on what a peer may send (seen in version 1.9.2)."""

import contextlib
from typing import Any

import websocket
from websocket import ABNF, WebSocketProtocolException
from websocket import _handshake as websocket_handshake
from websocket._abnf import continuous_frame, frame_buffer
from websocket._cookiejar import SimpleCookieJar

MAX_FRAGMENTS = 1024
_MAX_CONTROL_BYTES = 125


class MessageTooBigError(Exception):
    """The peer announced or sent a message over the bound; none of it was kept."""


class _NoCookies(SimpleCookieJar):
    """In place of the library's cookie jar, which all connections of a process would share."""

    def add(self, set_cookie: str | None) -> None:
        """Forgets it."""

    def get(self, host: str | None) -> str:  # noqa: ARG002 - as the library calls it
        """None, for anyone."""
        return ""


websocket_handshake.CookieJar = _NoCookies()


class _BoundedFrames(frame_buffer):
    """Reads frames; refuses one by its header, before its payload is read."""

    def __init__(self, recv: Any, max_message_bytes: int) -> None:
        super().__init__(recv, skip_utf8_validation=True)
        self._max_message_bytes = max_message_bytes

    def recv_length(self) -> None:
        super().recv_length()
        if self.has_mask():
            raise WebSocketProtocolException("a masked frame from a server")
        is_last, _, _, _, opcode, *_ = self.header or ()
        length = self.length or 0
        if opcode >= ABNF.OPCODE_CLOSE and (length > _MAX_CONTROL_BYTES or not is_last):
            raise WebSocketProtocolException("a control frame that is too long or in pieces")
        if length > self._max_message_bytes:
            raise MessageTooBigError


class _BoundedMessage(continuous_frame):
    """Puts a fragmented message together; refuses it once it is too big or in too many pieces."""

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(fire_cont_frame=False, skip_utf8_validation=True)
        self._max_message_bytes = max_message_bytes
        self._pieces: list[bytes] = []
        self._bytes = 0

    def add(self, frame: Any) -> None:
        self._pieces.append(frame.data)
        self._bytes += len(frame.data)
        if self._bytes > self._max_message_bytes or len(self._pieces) > MAX_FRAGMENTS:
            raise MessageTooBigError
        if frame.opcode != ABNF.OPCODE_CONT:
            self.recving_frames = frame.opcode
        self.cont_data = [self.recving_frames, b""]
        if frame.fin:
            self.cont_data[1] = b"".join(self._pieces)
            self.recving_frames = None
            self._pieces, self._bytes = [], 0


class BoundedWebSocket(websocket.WebSocket):
    """A WebSocket for one thread, whose messages are at most `max_message_bytes` long."""

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(enable_multithread=False, skip_utf8_validation=True)
        self.frame_buffer = _BoundedFrames(self._recv, max_message_bytes)
        self.cont_frame = _BoundedMessage(max_message_bytes)

    def send_close(self, *arguments: Any, **options: Any) -> None:
        """Answers a close frame as far as the peer still listens: its code is what matters."""
        with contextlib.suppress(OSError, websocket.WebSocketException):
            super().send_close(*arguments, **options)
