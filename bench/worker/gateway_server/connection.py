"""One TCP connection to a gateway of the server: upgrade, login, subscription, pings. On the event loop."""

import asyncio
import json
import socket
import struct
from typing import cast

from bench.worker.gateway_server.frames import CLOSE, PING, PONG, TEXT, accept_key, encode_frame, take_frame
from bench.worker.gateway_server.gateways import Gateways
from bench.worker.gateway_server.messages import encode

_BACKLOG_LIMIT_BYTES = 8 * 1024 * 1024
_LOGGED_IN = encode("RTN_LOGIN", {"Success": True, "AccessLevel": 1, "Verified": True})
_REJECTED = encode("RTN_LOGIN", {"Success": False})
_SUBSCRIBED = encode("RTN_SUB_CHANGES", {"Success": True})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class GatewaySession(asyncio.Protocol):
    """A session of the gateway named by the path of the upgrade request."""

    __slots__ = ("_buffer", "_gateways", "_is_logged_in", "_is_subscribed", "_name", "_transport")

    def __init__(self, gateways: Gateways) -> None:
        self._gateways = gateways
        self._buffer = bytearray()
        self._name: str | None = None
        self._is_logged_in = False
        self._is_subscribed = False
        self._transport: asyncio.Transport | None = None

    def send(self, frame: bytes) -> bool:
        """Send a whole frame; return False without sending when the client reads too slowly."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() > _BACKLOG_LIMIT_BYTES:
            return False
        transport.write(frame)
        return True

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client and the system have not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def cut(self) -> None:
        """Reset the TCP connection."""
        transport = self._transport
        if transport is not None:
            raw = cast("socket.socket", transport.get_extra_info("socket"))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._gateways.began()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._gateways.ended(self._name, self, was_logged_in=self._is_logged_in)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._name is None and not self._upgrade():
            return
        while (frame := take_frame(self._buffer)) is not None:
            self._obey(*frame)

    def _upgrade(self) -> bool:
        head, ending, rest = self._buffer.partition(b"\r\n\r\n")
        if not ending:
            return False
        request, *lines = bytes(head).split(b"\r\n")
        name = request.split(b" ")[1][1:].decode()
        if name not in self._gateways.names:
            self._give_up()
            return False
        if name in self._gateways.hanging:
            return False
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(b":") for line in lines)}
        self._name, self._buffer = name, rest
        accept = accept_key(headers.get(b"sec-websocket-key", b""))
        self._write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        return True

    def _obey(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._gateways.counters.pings += 1
            self._write(encode_frame(PONG, payload))
        elif opcode == TEXT:
            self._take_command(json.loads(payload))
        elif opcode == CLOSE and self._transport is not None:
            self._write(encode_frame(CLOSE, payload[:2]))
            self._transport.close()

    def _take_command(self, command: dict[str, object]) -> None:
        what = command["Type"]
        if what == "POST_LOGIN" and not self._is_logged_in:
            self._log_in(command["Data"])
        elif what == "POST_SUB_CHANGES" and self._is_logged_in and self._name is not None:
            if self._gateways.answers_subscription:
                self._write(_SUBSCRIBED)
            if not self._is_subscribed:
                self._is_subscribed = True
                self._gateways.subscribe(self._name, self)
        elif what != "POST_UNSUB_CHANGES":
            self._give_up()

    def _log_in(self, login: object) -> None:
        self._is_logged_in = login == {"Email": self._gateways.email, "Password": self._gateways.password}
        if self._is_logged_in:
            self._gateways.logged_in()
        else:
            self._gateways.counters.rejected_logins += 1
        self._write(_LOGGED_IN if self._is_logged_in else _REJECTED)

    def _give_up(self) -> None:
        self._gateways.counters.violations += 1
        self.cut()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
