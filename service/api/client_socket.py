"""A client's connection: every wait on it has a deadline, and no client keeps the process to itself."""

import errno
import socket
from contextlib import suppress
from time import monotonic
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]

from service.api.time_slices import yield_if_due

HEAD_TIMEOUT_S = 10.0
"""For the head of a request, from its first byte or from the start of the connection."""
BODY_TIMEOUT_S = 60.0
"""For a whole body."""
STALL_TIMEOUT_S = 20.0
"""For the next part of a body to arrive, or for the client to take the next part of a response."""
LINGER_S = 2.0
"""For the client to close its side: closing ours first could cost it the last response."""
_PART_BYTES = 64 * 1024
"""Received or sent at once: gunicorn copies what it has received again and again while it reads on."""
_LINGER_BYTES = 1024 * 1024


class ClientSocket:
    """Wraps a gevent socket for gunicorn. One greenlet uses it; another one may call `end_input`."""

    def __init__(self, wrapped: Any) -> None:
        self._socket = wrapped
        self._response: list[bytes] = []
        self.is_serving = False
        """Whether a request is being answered, rather than awaited."""
        self._is_idle = self._is_lost = False
        self._deadline = monotonic() + HEAD_TIMEOUT_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def begin_request(self) -> None:
        """A head has arrived: its body and the response come next."""
        # The next one may have arrived already, so that `recv` is not called in between.
        yield_if_due()
        self.is_serving, self._deadline = True, monotonic() + BODY_TIMEOUT_S

    def end_request(self, keepalive_s: float) -> None:
        """Sends the response; the next request may take `keepalive_s` to begin. Raises OSError."""
        self.flush()
        self.is_serving, self._is_idle, self._deadline = False, True, monotonic() + keepalive_s

    def end_input(self) -> None:
        """Nothing more is received, not by a greenlet that waits for it either."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def recv(self, size: int) -> bytes:
        """Raises TimeoutError within a body. Before one, a client that is late is taken for gone."""
        yield_if_due()
        remaining_s = max(0.001, self._deadline - monotonic())
        self._socket.settimeout(min(remaining_s, STALL_TIMEOUT_S) if self.is_serving else remaining_s)
        try:
            data: bytes = self._socket.recv(min(size, _PART_BYTES))
        except TimeoutError:
            if self.is_serving:
                raise
            return b""
        if self._is_idle:
            self._is_idle, self._deadline = False, monotonic() + HEAD_TIMEOUT_S
        return data

    def sendall(self, data: bytes) -> None:
        """Keeps a part of a response, so that its head and body go out together."""
        self._response.append(data)

    def send(self, data: bytes) -> None:
        """Sends at once. Raises OSError."""
        self._response.append(data)
        self.flush()

    def flush(self) -> None:
        """Sends what was kept. Raises OSError."""
        parts, self._response = self._response, []
        if sum(map(len, parts)) <= _PART_BYTES:
            parts = [b"".join(parts)]
        self._socket.settimeout(STALL_TIMEOUT_S)
        try:
            for part in parts:
                view = memoryview(part)
                for start in range(0, len(view), _PART_BYTES):
                    self._socket.sendall(view[start : start + _PART_BYTES])
        except OSError as error:
            self._is_lost = True
            if isinstance(error, TimeoutError):
                # As if the client had gone, which gunicorn does not log as an error.
                raise BrokenPipeError(errno.EPIPE, "the client does not take its response") from None
            raise

    def close(self) -> None:
        """Sends what was kept, and closes when the client has. Raises OSError."""
        try:
            if not self._is_lost:
                self.flush()
                util.close_graceful(self._socket, LINGER_S, _LINGER_BYTES)
        finally:
            self._socket.close()
