"""A gateway on a bare socket: it upgrades by hand and then sends exactly the given bytes."""

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Queue
from typing import Self

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WAIT_S = 10.0
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes = b"", *, fin: int = 1, reserved: int = 0) -> bytes:
    """Encode a server's frame: unmasked, its length in the shortest form."""
    first = fin << 7 | reserved << 4 | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


def close_frame(code: int, words: bytes = b"") -> bytes:
    """Encode a close frame."""
    return frame(CLOSE, struct.pack("!H", code) + words)


def accept_header(key: bytes) -> bytes:
    """Return the `Sec-WebSocket-Accept` of a client's key."""
    return base64.b64encode(hashlib.sha1(key + GUID).digest())  # noqa: S324 - RFC 6455


def proper_answer(key: bytes) -> bytes:
    """Return a correct upgrade response."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_header(key) + b"\r\n\r\n"
    )


@dataclass(frozen=True)
class Peer:
    """The server's side of one connection. One thread at a time."""

    socket: socket.socket

    def send(self, data: bytes, *, in_pieces_of: int | None = None) -> None:
        """Send exactly these bytes; pieces are sent as separate packets."""
        size = in_pieces_of or max(len(data), 1)
        for start in range(0, len(data), size):
            self.socket.sendall(data[start : start + size])

    def receive(self) -> tuple[int, bytes]:
        """Return opcode and unmasked payload of the client's next frame. Raises EOFError."""
        first, second = self._exactly(2)
        assert second & 0x80, "a client masks its frames"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        mask = self._exactly(4)
        payload = self._exactly(length)
        return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    def end(self) -> None:
        """Send no more bytes to the client."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            received = self.socket.recv(count - len(data))
            if not received:
                raise EOFError
            data += received
        return data


class RawServer:
    """Takes any number of clients, each in its own thread, until `close`.

    `answer` makes the response to a client's key. `serve` handles a client after that; without it the test
    takes clients from `peers`.
    """

    def __init__(
        self,
        serve: Callable[[Peer], None] | None = None,
        answer: Callable[[bytes], bytes] = proper_answer,
    ) -> None:
        self.answer = answer
        self.peers: Queue[Peer] = Queue()
        self._serve = serve or self.peers.put
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._closing = threading.Event()
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def accepted(self) -> int:
        """Return how many clients have connected so far."""
        return len(self._clients)

    def close(self) -> None:
        """Frees everything."""
        self._closing.set()
        with suppress(OSError):  # wakes the accepting thread
            socket.create_connection(self._listener.getsockname(), WAIT_S).close()
        self._threads[0].join(WAIT_S)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        for client in self._clients:
            client.close()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing.is_set():
                client.close()
                return
            client.settimeout(WAIT_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients.append(client)
            thread = threading.Thread(target=self._upgrade, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _upgrade(self, client: socket.socket) -> None:
        # The client may disconnect at any time.
        with suppress(OSError, EOFError):
            request = b""
            while b"\r\n\r\n" not in request:
                received = client.recv(4096)
                if not received:
                    return
                request += received
            key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            client.sendall(self.answer(key))
            self._serve(Peer(client))
