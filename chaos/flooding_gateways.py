"""Gateways that accept any login and then send the same bytes without end."""

import socket
import socketserver
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

LOGGED_IN = b'{"Type":"RTN_LOGIN","From":"SERV","Target":"UI","Data":{"Success":true}}'
GIVE_UP_S = 120.0


class PouringGateways:
    """One port for all; each session has a thread. Use as a context manager."""

    def __init__(self, poured: bytes) -> None:
        class Session(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(GIVE_UP_S)
                with suppress(OSError):
                    self.request.sendall(_upgrade(_read_head(self.request)))
                    self.request.recv(4096)  # the login
                    self.request.sendall(Frame(Opcode.TEXT, LOGGED_IN).serialize(mask=False))
                    self.request.recv(4096)  # the subscription
                    while True:
                        self.request.sendall(poured)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 1000

        self._server = Server(("127.0.0.1", 0), Session)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="pouring", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def urls(self, gateway_ids: Iterable[str]) -> dict[str, str]:
        """A URL for each."""
        port = self._server.server_address[1]
        return {each: f"ws://127.0.0.1:{port}/{each}" for each in gateway_ids}


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
        head += more
    return head


def _upgrade(head: bytes) -> bytes:
    key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key.decode()).encode() + b"\r\n\r\n"
    )
