"""The HTTP request that turns a connection into a WebSocket, and what counts as consent. Pure.

Source: RFC 6455, section 4.1. A gateway that browsers talk to passes all of it.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?\r?\n?", re.DOTALL)
_SWITCHING_PROTOCOLS = 101
_PORTS_LEFT_OUT = (80, 443)
_NOT_A_WEB_SOCKET = "The answer to the upgrade is not one of a WebSocket server"


class UpgradeRefusedError(Exception):
    """The gateway's answer opens no WebSocket; the text says why and shows none of it but the status."""


def encode_request(url: str, host: str, port: int, key: str) -> bytes:
    """The request; `key` is 16 random bytes in base64."""
    parts = urlsplit(url)
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    lines = [
        f"GET {resource} HTTP/1.1",
        "Upgrade: websocket",
        f"Host: {name}" if port in _PORTS_LEFT_OUT else f"Host: {name}:{port}",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Connection: Upgrade",
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def check_status(line: bytes) -> None:
    """Looks at the first line of the answer. Raises UpgradeRefusedError unless it is 101."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise UpgradeRefusedError(f"{_NOT_A_WEB_SOCKET}.")
    status = int(match[1])
    if 300 <= status < 400:
        raise UpgradeRefusedError(f"The gateway redirects, with HTTP status {status}; that is not followed.")
    if status != _SWITCHING_PROTOCOLS:
        raise UpgradeRefusedError(f"The gateway refused the upgrade with HTTP status {status}.")


def check_headers(lines: Iterable[bytes], key: str) -> None:
    """Looks at the other lines. Raises UpgradeRefusedError unless they answer `key` and what was asked."""
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise UpgradeRefusedError(f"{_NOT_A_WEB_SOCKET}: a header without a colon.")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    for name, token in ((b"upgrade", b"websocket"), (b"connection", b"upgrade")):
        tokens = b",".join(headers.get(name, [])).lower().split(b",")
        if token not in [each.strip() for each in tokens]:
            raise UpgradeRefusedError(f"{_NOT_A_WEB_SOCKET}: its header {name.decode()} is wrong.")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())  # noqa: S324 - RFC 6455
    if headers.get(b"sec-websocket-accept") != [accept]:
        raise UpgradeRefusedError(f"{_NOT_A_WEB_SOCKET}: it does not answer our key.")
    for name in (b"sec-websocket-extensions", b"sec-websocket-protocol"):
        # Whoever answers so would go on to speak something that we don't.
        if any(headers.get(name, [])):
            raise UpgradeRefusedError(
                f"{_NOT_A_WEB_SOCKET} that we asked: {name.decode()} was not requested."
            )
