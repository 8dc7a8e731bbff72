"""The HTTP request that turns a connection into a WebSocket, and what counts as consent. Pure.

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
_NOT_A_WEB_SOCKET = "The answer to the upgrade is not one of a WebSocket server"


class HandshakeError(Exception):
    """The gateway's answer opens no WebSocket; the text says why and shows none of it but the status."""


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
    """Looks at the first line of an answer: is another one to follow (RFC 9110, section 15.2), or is it 101?

    Raises HandshakeError for everything else.
    """
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise HandshakeError(f"{_NOT_A_WEB_SOCKET}.")
    status = int(match[1])
    if 300 <= status < 400:
        raise HandshakeError(f"The gateway redirects, with HTTP status {status}; that is not followed.")
    if status >= 200:
        raise HandshakeError(f"The gateway refused the upgrade with HTTP status {status}.")
    return status != _SWITCHING_PROTOCOLS


def check_headers(lines: Iterable[bytes], key: str) -> None:
    """Looks at the other lines. Raises HandshakeError unless they answer `key` and what was asked."""
    headers: dict[bytes, list[bytes]] = {}
    for line in _unfold(lines):
        name, colon, value = line.partition(b":")
        if not colon:
            raise HandshakeError(f"{_NOT_A_WEB_SOCKET}: a header without a colon.")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    # One protocol and no other; but a connection may have more options than this.
    if _tokens(headers.get(b"upgrade", [])) != [b"websocket"]:
        raise HandshakeError(f"{_NOT_A_WEB_SOCKET}: its header upgrade is wrong.")
    if b"upgrade" not in _tokens(headers.get(b"connection", [])):
        raise HandshakeError(f"{_NOT_A_WEB_SOCKET}: its header connection is wrong.")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())  # noqa: S324 - RFC 6455
    if headers.get(b"sec-websocket-accept") != [accept]:
        raise HandshakeError(f"{_NOT_A_WEB_SOCKET}: it does not answer our key.")
    for name in (b"sec-websocket-extensions", b"sec-websocket-protocol"):
        # Whoever answers so would go on to speak something that we don't.
        if any(headers.get(name, [])):
            raise HandshakeError(f"{_NOT_A_WEB_SOCKET} that we asked: {name.decode()} was not requested.")


def _unfold(lines: Iterable[bytes]) -> list[bytes]:
    """A line that begins with white space goes on with the one before it: RFC 9112, section 5.2."""
    unfolded: list[bytes] = []
    for line in lines:
        if not line.startswith((b" ", b"\t")):
            unfolded.append(line)
        elif unfolded:
            unfolded[-1] += b" " + line.strip()
        else:
            raise HandshakeError(f"{_NOT_A_WEB_SOCKET}: its first header begins with white space.")
    return unfolded


def _tokens(values: list[bytes]) -> list[bytes]:
    tokens = (token.strip() for token in b",".join(values).lower().split(b","))
    return [token for token in tokens if token]
