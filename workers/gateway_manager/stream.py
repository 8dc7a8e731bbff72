"""A byte stream over TCP or TLS whose every wait ends: by data, by a deadline, or by an interruption.

A deadline holds over a whole step: a handshake that is dribbled byte by byte ends too.
"""

import errno
import os
import select
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from workers.gateway_manager.waker import InterruptedWaitError, Waker, milliseconds

_READ_BYTES = 65536

Result = TypeVar("Result")


class DeadlinePassedError(Exception):
    """The step took longer than it may."""


class TooManyBytesError(Exception):
    """The peer sent more than this step may take."""


class Stream:
    """One non-blocking socket. Owned by one thread."""

    def __init__(self, sock: socket.socket, waker: Waker, interrupted: Callable[[], bool]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._waker = waker
        self.interrupted = interrupted
        """Asked before every operation and after every wake-up: true raises InterruptedWaitError."""
        self._buffer = b""
        self._poller = select.poll()
        self._waker_fd = waker.fileno()
        self._poller.register(self._waker_fd, select.POLLIN)
        self._polled_for = 0
        self.deadline = 0.0
        """Monotonic seconds at which reading or writing gives up."""

    def connect(self, address: tuple[object, ...]) -> None:
        """Connects the socket. Raises OSError, DeadlinePassedError, InterruptedWaitError."""
        self.check()
        error_number = self._sock.connect_ex(address)
        if error_number == errno.EINPROGRESS:
            if not self._wait(select.POLLOUT, self.deadline):
                raise DeadlinePassedError
            error_number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error_number:
            raise OSError(error_number, os.strerror(error_number))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Sets up TLS. Raises OSError (ssl.SSLError), DeadlinePassedError, InterruptedWaitError."""
        wrapped = context.wrap_socket(
            self._sock, server_hostname=server_hostname, do_handshake_on_connect=False
        )
        self._sock = wrapped
        self._retry(wrapped.do_handshake, select.POLLIN)

    def check(self) -> None:
        """Raises InterruptedWaitError if that is what its owner has to do."""
        if self.interrupted():
            raise InterruptedWaitError

    def read(self) -> bytes:
        """What has come, and at least one byte. Raises EOFError at the stream's end, and as `connect`."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        # Asked before each read: one who always has another byte for us shall not keep us for ever.
        if monotonic() >= self.deadline:
            raise DeadlinePassedError
        data = self._retry(self._read, select.POLLIN)
        if not data:
            raise EOFError
        return data

    def read_line(self, limit: int) -> bytes:
        """The bytes up to a line feed, with it. Raises TooManyBytesError past the limit, and as `read`."""
        line = bytearray()
        while True:
            data = self.read()
            end = data.find(b"\n") + 1
            line += data[:end] if end else data
            if len(line) > limit or (len(line) == limit and not end):
                raise TooManyBytesError
            if end:
                self._buffer = data[end:]
                return bytes(line)

    def send_all(self, data: bytes) -> None:
        """Sends all of it. Raises as `connect`; part of it may be out then."""
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[self._retry(lambda: self._sock.send(unsent), select.POLLOUT) :]  # noqa: B023

    def wait_readable(self, until: float) -> bool:
        """Whether there is something to read before this time (monotonic seconds).

        Raises InterruptedWaitError.
        """
        if self._buffer or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
            self.check()
            return True
        while self._wait(select.POLLIN, until):
            if not isinstance(self._sock, ssl.SSLSocket):
                return True
            # It may be TLS's own business (a session ticket, a new key), and nothing for us to read.
            try:
                self._buffer = self._read()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if monotonic() >= until:
                    return False
            else:
                return True
        return False

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Gives the descriptor back; what was not sent yet is left to the system."""
        self._sock.close()

    def _read(self) -> bytes:
        return self._sock.recv(_READ_BYTES)

    def _retry(self, operation: Callable[[], Result], wanted: int) -> Result:
        while True:
            self.check()
            try:
                return operation()
            except BlockingIOError:
                direction = wanted
            except ssl.SSLWantReadError:
                # TLS may have to read before it can write, and the other way round.
                direction = select.POLLIN
            except ssl.SSLWantWriteError:
                direction = select.POLLOUT
            if not self._wait(direction, self.deadline) or monotonic() >= self.deadline:
                raise DeadlinePassedError

    def _wait(self, wanted: int, until: float) -> bool:
        if wanted != self._polled_for:
            self._poller.register(self._sock, wanted)
            self._polled_for = wanted
        while not self.interrupted():
            remaining_s = until - monotonic()
            ready = self._poller.poll(milliseconds(remaining_s))
            if not ready:
                if remaining_s <= 0:
                    return False
            elif len(ready) == 1 and ready[0][0] != self._waker_fd:
                return True
            else:
                self._waker.clear()
        raise InterruptedWaitError
