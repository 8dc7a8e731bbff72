"""WebSocket frames: a server's bytes in, messages out; a client's words as bytes. Bounded; knows no socket.

Source: RFC 6455, sections 5.2 to 5.5 and 7.4.
"""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_FRAGMENTS = 1024
_KINDS = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_LAST, _RESERVED, _OPCODE = 0x80, 0x70, 0x0F
_MASKED = 0x80
_WHOLE_TEXT = _LAST | TEXT
_MAX_CONTROL_BYTES = 125
# Where the bytes before a payload end, by the length that the header announces.
_TWO_BYTES_FOLLOW, _EIGHT_BYTES_FOLLOW = 126, 127
_HEADER_ENDS = {_TWO_BYTES_FOLLOW: 4, _EIGHT_BYTES_FOLLOW: 10}
_NONE_MAY_BE_LONGER = 1 << 63
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015)})
_CLOSE_CODES_OF_OTHERS = range(3000, 5000)


class FrameError(Exception):
    """The server broke the WebSocket protocol; the text says how."""


class MessageTooBigError(Exception):
    """The server announced or sent a message over the bound; none of it was kept."""


class FrameReader:
    """Puts messages together. For one thread; of no use any more once it has raised."""

    __slots__ = ("_buffer", "_fragments", "_kind", "_max_message_bytes", "_message")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()
        self._kind: int | None = None
        """Of the message that has begun and not ended."""
        self._message = bytearray()
        self._fragments = 0

    @property
    def has_bytes(self) -> bool:
        """Whether there are some that belong to no message yet."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """The next bytes that came."""
        self._buffer += data

    def take(self) -> tuple[int, bytes] | None:
        """The next message (TEXT or BINARY) or control frame, with its payload; None until more bytes came.

        Raises FrameError and MessageTooBigError, for a header before its payload is there.
        """
        while (frame := self._take_frame()) is not None:
            first, payload = frame
            if (first & _OPCODE) >= CLOSE:
                return first & _OPCODE, payload
            if first == _WHOLE_TEXT and self._kind is None:
                return TEXT, payload
            if (message := self._add(first, payload)) is not None:
                return message
        return None

    def _take_frame(self) -> tuple[int, bytes] | None:
        """The first byte and the payload of the next frame, if all of it is there."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, size = buffer[0], buffer[1]
        _check_header(first, size)
        start = 2
        if size > _MAX_CONTROL_BYTES:
            start = _HEADER_ENDS[size]
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
            self._check_size(size)
        end = start + size
        if len(buffer) < end:
            return None
        with memoryview(buffer) as view:
            payload = view[start:end].tobytes()
        del buffer[:end]
        return first, payload

    def _add(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        """Another piece of a message; the message if it was the last."""
        opcode = first & _OPCODE
        if opcode == CONTINUATION and self._kind is None:
            raise FrameError("a continuation of nothing")
        if opcode != CONTINUATION and self._kind is not None:
            raise FrameError("a message within another")
        kind = self._kind = opcode if self._kind is None else self._kind
        self._message += payload
        self._fragments += 1
        self._check_size(len(self._message))
        if self._fragments > MAX_FRAGMENTS:
            raise MessageTooBigError
        if not first & _LAST:
            return None
        whole = bytes(self._message)
        self._kind, self._message, self._fragments = None, bytearray(), 0
        return kind, whole

    def _check_size(self, size: int) -> None:
        if size >= _NONE_MAY_BE_LONGER:
            raise FrameError("a length with its highest bit set")
        if size > self._max_message_bytes:
            raise MessageTooBigError


def _check_header(first: int, second: int) -> None:
    """Raises FrameError."""
    if first == _WHOLE_TEXT and second < _MASKED:
        return
    opcode = first & _OPCODE
    if first & _RESERVED:
        raise FrameError("a reserved bit is set")
    if opcode not in _KINDS:
        raise FrameError(f"a frame of the unknown kind {opcode}")
    if second & _MASKED:
        raise FrameError("a masked frame from a server")
    if opcode >= CLOSE and (second > _MAX_CONTROL_BYTES or not first & _LAST):
        raise FrameError("a control frame that is too long or in pieces")


def close_code(payload: bytes) -> int | None:
    """Why a close frame says that it is sent, if it does. Raises FrameError for what is no reason."""
    if not payload:
        return None
    if len(payload) == 1:
        raise FrameError("a close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    if code not in _CLOSE_CODES and code not in _CLOSE_CODES_OF_OTHERS:
        raise FrameError(f"a close with the code {code}")
    return code


def encode_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """A whole message or control frame of a client; `mask` is 4 bytes that nobody can foresee."""
    size = len(payload)
    if size <= _MAX_CONTROL_BYTES:
        head = bytes((_LAST | opcode, _MASKED | size))
    elif size < 1 << 16:
        head = bytes((_LAST | opcode, _MASKED | _TWO_BYTES_FOLLOW)) + size.to_bytes(2, "big")
    else:
        head = bytes((_LAST | opcode, _MASKED | _EIGHT_BYTES_FOLLOW)) + size.to_bytes(8, "big")
    return head + mask + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
