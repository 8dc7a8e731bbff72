"""A client's connection: every wait on it has a deadline, and no client keeps the process to itself."""

import errno
import socket
from contextlib import suppress
from time import monotonic
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http.errors import LimitRequestHeaders  # type: ignore[import-untyped]

from service.api.server.buffer_limit import HeldBytes
from service.api.server.time_slices import yield_if_due
from service.api.web.malformed_requests import LateBodyError

HEAD_TIMEOUT_S = 10.0
"""For the head of a request, from its first byte or from the start of the connection."""
MAX_HEAD_BYTES = 32 * 1024
"""For a request line and headers together, give or take what is received at once. As nginx has it: what waits
for an event or for the database keeps its head, and is not cut off.
"""
BODY_TIMEOUT_S = 60.0
"""For a whole body."""
STALL_TIMEOUT_S = 20.0
"""For more of a body to arrive, or for the client to take more of a response."""
LEAST_BYTES_A_SECOND = 16 * 1024
"""At which a client takes a response, beyond the first STALL_TIMEOUT_S."""
STREAM_BUFFER_BYTES = 64 * 1024
"""That the system keeps of a stream for a client that does not take it."""
LINGER_S = 2.0
"""For the client to close its side: closing ours first could cost it the last response."""
_PART_BYTES = 64 * 1024
"""Received or sent at once: gunicorn copies what it has received again and again while it reads on."""
_LINGER_BYTES = 1024 * 1024

held = HeldBytes(128 * 1024 * 1024)
"""Of the process."""


class ClientSocket:
    """Wraps a gevent socket for gunicorn. One greenlet uses it; others may call `end_input` and `hang_up`."""

    def __init__(self, wrapped: Any) -> None:
        self._socket = wrapped
        self._response: list[bytes] = []
        self.is_serving = False
        """Whether a request is being answered, rather than awaited."""
        self.is_waiting = False
        """Whether a greenlet waits for the client."""
        self.is_in_body = False
        """Whether what is received next belongs to a body, be it one that nobody wants."""
        self._is_idle = self._is_lost = self._is_streaming = False
        self._head_bytes = 0
        self._deadline = monotonic() + HEAD_TIMEOUT_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def begin_request(self) -> None:
        """A head has arrived: its body and the response come next."""
        # The next one may have arrived already, so that `recv` is not called in between.
        yield_if_due()
        self.is_serving, self._deadline, self._head_bytes = True, monotonic() + BODY_TIMEOUT_S, 0

    def begin_stream(self) -> None:
        """Each part of the response is sent at once, and the client has to take it."""
        self._is_streaming = True
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # not on macOS
            self._socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALL_TIMEOUT_S * 1000)
            )

    def end_request(self, keepalive_s: float) -> None:
        """Sends the response; the next request may take `keepalive_s` to begin. Raises OSError."""
        self.flush()
        held.release(self)
        self._is_streaming = False
        self.is_serving, self._is_idle, self._deadline = False, True, monotonic() + keepalive_s

    def discard(self) -> None:
        """Between requests: what was received so far is not kept. It was the rest of a body."""
        if not self.is_serving:
            held.release(self)

    def end_input(self) -> None:
        """Nothing more is received, not by a greenlet that waits for it either."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def hang_up(self) -> None:
        """Nothing more is received or sent: who waits for the client gets an error."""
        self._is_lost = True
        self._socket.close()

    def recv(self, size: int) -> bytes:
        """Raises LateBodyError within a body. Before one, a client that is late is taken for gone.

        Raises LimitRequestHeaders for a head that is too big.
        """
        yield_if_due()
        remaining_s = max(0.001, self._deadline - monotonic())
        self._socket.settimeout(min(remaining_s, STALL_TIMEOUT_S) if self.is_serving else remaining_s)
        self.is_waiting = True
        try:
            data: bytes = self._socket.recv(min(size, _PART_BYTES))
            held.hold(self, len(data))
        except OSError as error:
            if self._is_lost or (isinstance(error, TimeoutError) and not self.is_serving):
                return b""
            if isinstance(error, TimeoutError):
                raise self._late() from None
            raise
        finally:
            self.is_waiting = False
        if self._is_idle:
            self._is_idle, self._deadline = False, monotonic() + HEAD_TIMEOUT_S
        if not (self.is_serving or self.is_in_body):
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise LimitRequestHeaders("the head is too big")
        return data

    def _late(self) -> LateBodyError:
        if monotonic() < self._deadline:
            return LateBodyError(f"paused for {STALL_TIMEOUT_S:.0f} s")
        return LateBodyError(f"took longer than {BODY_TIMEOUT_S:.0f} s")

    def sendall(self, data: bytes) -> None:
        """Keeps a part of a response, so that its head and body go out together; but for a stream's."""
        self._response.append(data)
        if self._is_streaming:
            self.flush()
            held.drop(self, len(data))

    def send(self, data: bytes) -> None:
        """Sends at once. Raises OSError."""
        self._response.append(data)
        self.flush()

    def flush(self) -> None:
        """Sends what was kept. Raises OSError."""
        parts, self._response = self._response, []
        size = sum(map(len, parts))
        if size <= _PART_BYTES:
            parts = [b"".join(parts)]
        deadline = monotonic() + STALL_TIMEOUT_S + size / LEAST_BYTES_A_SECOND
        self.is_waiting = True
        try:
            held.hold(self, size)
            for part in parts:
                self._send_all(memoryview(part), deadline)
        except OSError as error:
            was_lost, self._is_lost = self._is_lost, True
            if was_lost or isinstance(error, TimeoutError):
                # As if the client had gone, which gunicorn does not log as an error.
                raise BrokenPipeError(errno.EPIPE, "the client does not take its response") from None
            raise
        finally:
            self.is_waiting = False

    def _send_all(self, data: memoryview, deadline: float) -> None:
        """Not gevent's `sendall`: that bounds the time for all, however the client goes on taking it."""
        while data:
            yield_if_due()
            remaining_s = max(0.001, deadline - monotonic())
            self._socket.settimeout(min(remaining_s, STALL_TIMEOUT_S))
            data = data[self._socket.send(data[:_PART_BYTES]) :]

    def close(self) -> None:
        """Sends what was kept, and closes when the client has. Raises OSError."""
        try:
            if not self._is_lost:
                self.flush()
                util.close_graceful(self._socket, LINGER_S, _LINGER_BYTES)
        finally:
            held.release(self)
            self._socket.close()
