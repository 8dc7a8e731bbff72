"""WebSocket frames of a server (RFC 6455, section 5.2). Pure."""

import base64
import hashlib

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL = 0x80
_LENGTH = 0x7F
_HEAD_BYTES = 6
"""The header of a client's short frame: two bytes, then the mask."""


def accept_key(key: bytes) -> bytes:
    """Return the `Sec-WebSocket-Accept` of a `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Encode a whole message as one unmasked frame."""
    first, size = _FINAL | opcode, len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Remove a client's first frame from the buffer; return opcode and payload, or None if it is incomplete.

    Commands are short: the measured clients do not fragment messages.
    """
    if len(buffer) < _HEAD_BYTES:
        return None
    opcode, size, at = buffer[0] & 0x0F, buffer[1] & _LENGTH, 2
    if size == 126:
        size, at = int.from_bytes(buffer[2:4], "big"), 4
    elif size == 127:
        size, at = int.from_bytes(buffer[2:10], "big"), 10
    end = at + 4 + size
    if len(buffer) < end:
        return None
    mask, payload = bytes(buffer[at : at + 4]), bytes(buffer[at + 4 : end])
    del buffer[:end]
    return opcode, unmask(payload, mask)


def unmask(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
