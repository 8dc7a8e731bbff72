"""The HTTP request that opens a WebSocket, and the check of the response. Pure.

Sources: RFC 6455, section 4.1, and RFC 9112. A gateway that browsers talk to passes all of it.
"""

import base64
import hashlib
import re
from collections.abc import Iterable

from workers.gateway_manager.websocket.target import Target

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?\r?\n?", re.DOTALL)
_SWITCHING_PROTOCOLS = 101
_INVALID = "Invalid upgrade response"


class HandshakeError(Exception):
    """The response opens no WebSocket; the text says why and shows nothing of it but the status."""


def encode_request(target: Target, key: str) -> bytes:
    """The request; `key` is 16 random bytes in base64."""
    lines = [
        f"GET {target.resource} HTTP/1.1",
        f"Host: {target.host_header}",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Connection: Upgrade",
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def is_interim(line: bytes) -> bool:
    """Checks the status line: True for an interim response (RFC 9110, section 15.2), False for 101.

    Raises HandshakeError for every other status.
    """
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise HandshakeError(f"{_INVALID}: no HTTP status line.")
    status = int(match[1])
    if 300 <= status < 400:
        raise HandshakeError(f"The gateway redirects with HTTP status {status}, which is not followed.")
    if status >= 200:
        raise HandshakeError(f"The gateway refused the upgrade with HTTP status {status}.")
    return status != _SWITCHING_PROTOCOLS


def check_headers(lines: Iterable[bytes], key: str) -> None:
    """Checks the headers. Raises HandshakeError unless they match `key` and the request."""
    headers: dict[bytes, list[bytes]] = {}
    for line in _unfold(lines):
        name, colon, value = line.partition(b":")
        if not colon:
            raise HandshakeError(f"{_INVALID}: a header without a colon.")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    # Exactly one protocol; the connection header may have further options.
    if _tokens(headers.get(b"upgrade", [])) != [b"websocket"]:
        raise HandshakeError(f"{_INVALID}: its header upgrade is wrong.")
    if b"upgrade" not in _tokens(headers.get(b"connection", [])):
        raise HandshakeError(f"{_INVALID}: its header connection is wrong.")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())  # noqa: S324 - RFC 6455
    if headers.get(b"sec-websocket-accept") != [accept]:
        raise HandshakeError(f"{_INVALID}: sec-websocket-accept does not match.")
    for name in (b"sec-websocket-extensions", b"sec-websocket-protocol"):
        # Such a server would go on with a protocol that the worker does not know.
        if any(headers.get(name, [])):
            raise HandshakeError(f"{_INVALID}: {name.decode()} was not requested.")


def _unfold(lines: Iterable[bytes]) -> list[bytes]:
    """A line that begins with white space goes on with the one before it: RFC 9112, section 5.2."""
    unfolded: list[bytes] = []
    for line in lines:
        if not line.startswith((b" ", b"\t")):
            unfolded.append(line)
        elif unfolded:
            unfolded[-1] += b" " + line.strip()
        else:
            raise HandshakeError(f"{_INVALID}: its first header begins with white space.")
    return unfolded


def _tokens(values: list[bytes]) -> list[bytes]:
    tokens = (token.strip() for token in b",".join(values).lower().split(b","))
    return [token for token in tokens if token]
