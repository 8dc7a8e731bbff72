"""websocket-client with limits on what a peer may send, of which it has none (seen in version 1.9.2)."""

import contextlib
from time import monotonic
from typing import Any

import websocket
from websocket import ABNF, WebSocketProtocolException
from websocket._abnf import continuous_frame, frame_buffer

from workers.ctc.codec import MAX_PARSED_BYTES
from workers.gateway_manager.websocket.stream import DeadlinePassedError, Stream

MAX_FRAGMENTS = 5000
KEPT_BYTES = MAX_PARSED_BYTES + 1
"""About as much of a message is kept. The rest is read and discarded, since nothing uses it."""
_READ_BYTES = 65536
_MAX_CONTROL_BYTES = 125
_LAST, _OPCODE = 0x80, 0x0F
_SHORT = (_LAST | ABNF.OPCODE_TEXT, _LAST | ABNF.OPCODE_PONG)
_TWO_BYTES_FOLLOW = 126


class MessageTooBigError(Exception):
    """The peer announced or sent a message over a limit, named in the text; none of it was kept."""


class _BoundedFrames(frame_buffer):
    """Reads and counts frames; refuses one by its header, before its payload is read."""

    def __init__(self, recv: Any, stream: Stream, max_message_bytes: int) -> None:
        super().__init__(recv, skip_utf8_validation=True)
        self._stream = stream
        self._max_message_bytes = max_message_bytes
        self._dropped_bytes = 0
        self.size = 0
        """The length of the last frame's payload, kept or not."""
        self.frames, self.bytes = 0, 0
        """Since `take_counts`."""

    def recv_frame(self) -> ABNF:
        is_between_frames = self.header is None and not self.recv_buffer
        frame = self._read_buffered_frame() if is_between_frames else None
        if frame is None:
            frame = super().recv_frame()
        self.frames += 1
        self.bytes += self.size
        return frame

    def recv_strict(self, bufsize: int) -> bytes:
        """As the library's; of what is longer than KEPT_BYTES only about so many are kept."""
        if bufsize <= KEPT_BYTES:
            return super().recv_strict(bufsize)
        kept = sum(map(len, self.recv_buffer))
        while (left := bufsize - kept - self._dropped_bytes) > 0:
            data = self.recv(min(_READ_BYTES, left))
            if kept < KEPT_BYTES:
                self.recv_buffer.append(data)
                kept += len(data)
            else:
                self._dropped_bytes += len(data)
        payload = b"".join(self.recv_buffer)
        self.recv_buffer, self._dropped_bytes = [], 0
        return payload

    def _read_buffered_frame(self) -> ABNF | None:
        """A short message or pong that is completely buffered, as nearly all are: in one read, not three."""
        there = self._stream.peek()
        if len(there) < 2 or there[0] not in _SHORT or there[1] > _TWO_BYTES_FOLLOW:
            return None
        opcode, start, size = there[0] & _OPCODE, 2, there[1]
        if size == _TWO_BYTES_FOLLOW:
            if len(there) < 4 or opcode != ABNF.OPCODE_TEXT:
                return None
            start, size = 4, int.from_bytes(there[2:4], "big")
        if len(there) < start + size or size > self._max_message_bytes:
            return None
        self.size = size
        return ABNF(1, 0, 0, 0, opcode, 0, self._stream.recv(start + size)[start:])

    def recv_header(self) -> None:
        super().recv_header()
        is_last, *reserved, opcode, is_masked, length = self.header or ()
        if any(reserved):
            raise WebSocketProtocolException("a reserved bit is set")
        if opcode not in ABNF.OPCODES:
            raise WebSocketProtocolException(f"a frame of the unknown kind {opcode}")
        if is_masked:
            raise WebSocketProtocolException("a masked frame from a server")
        # More than that is announced by 126 or 127, and the length follows.
        if opcode >= ABNF.OPCODE_CLOSE and (length > _MAX_CONTROL_BYTES or not is_last):
            raise WebSocketProtocolException("a control frame that is too long or in pieces")

    def recv_length(self) -> None:
        super().recv_length()
        length = self.length or 0
        if length >= ABNF.LENGTH_63:
            raise WebSocketProtocolException("a length with its highest bit set")
        if length > self._max_message_bytes:
            raise MessageTooBigError(f"of more than {self._max_message_bytes} bytes")
        self.size = length


class _BoundedMessage(continuous_frame):
    """Puts a fragmented message together; refuses it once it is too big or in too many pieces."""

    def __init__(self, frames: _BoundedFrames, max_message_bytes: int) -> None:
        super().__init__(fire_cont_frame=False, skip_utf8_validation=True)
        self._frames = frames
        self._max_message_bytes = max_message_bytes
        self._pieces: list[bytes] = []
        self._count, self._bytes, self._kept_bytes = 0, 0, 0

    def validate(self, frame: Any) -> None:
        is_continuation = frame.opcode == ABNF.OPCODE_CONT
        if is_continuation and not self.recving_frames:
            raise WebSocketProtocolException("a continuation of nothing")
        if self.recving_frames and not is_continuation:
            raise WebSocketProtocolException("a message within another")

    def add(self, frame: Any) -> None:
        self._count += 1
        self._bytes += self._frames.size
        if self._bytes > self._max_message_bytes:
            raise MessageTooBigError(f"of more than {self._max_message_bytes} bytes")
        if self._count > MAX_FRAGMENTS:
            raise MessageTooBigError(f"in more than {MAX_FRAGMENTS} frames")
        if self._kept_bytes < KEPT_BYTES:
            self._pieces.append(frame.data)
            self._kept_bytes += len(frame.data)
        if frame.opcode != ABNF.OPCODE_CONT:
            self.recving_frames = frame.opcode
        self.cont_data = [self.recving_frames, b""]
        if frame.fin:
            self.cont_data[1] = b"".join(self._pieces)
            self.recving_frames = None
            self._pieces, self._count, self._bytes, self._kept_bytes = [], 0, 0, 0


class BoundedWebSocket(websocket.WebSocket):
    """A WebSocket for one thread, whose messages are at most `max_message_bytes` long.

    The stream has been upgraded already.
    """

    def __init__(self, stream: Stream, max_message_bytes: int) -> None:
        super().__init__(enable_multithread=False, skip_utf8_validation=True)
        self._stream = stream
        self.sock = stream  # type: ignore[assignment]
        self.connected = True
        self._frames = _BoundedFrames(self._recv, stream, max_message_bytes)
        self.frame_buffer = self._frames
        self.cont_frame = _BoundedMessage(self._frames, max_message_bytes)

    def take_counts(self) -> tuple[int, int]:
        """How many frames, and how many bytes of payload, were read since the last call."""
        counts = self._frames.frames, self._frames.bytes
        self._frames.frames = self._frames.bytes = 0
        return counts

    def break_cycles(self) -> None:
        """Called last: nothing can be received after it.

        The library's objects form a reference cycle, which would keep what they have read until the garbage
        collector runs, in a process of this size after hundreds of sessions.
        """
        self.frame_buffer.recv = _nothing_more

    def send_close(self, *arguments: Any, **options: Any) -> None:
        """Sends a close frame, once, as far as the socket accepts it without waiting."""
        if not self.connected:
            return
        self._stream.deadline = monotonic()
        with contextlib.suppress(OSError, websocket.WebSocketException, DeadlinePassedError):
            super().send_close(*arguments, **options)


def _nothing_more(_size: int) -> bytes:
    raise websocket.WebSocketConnectionClosedException("the session is over")
