"""A byte stream over TCP or TLS whose every wait ends: by data, by a deadline, or by an interruption.

It replaces the socket under websocket-client, which so gets deadlines for whole steps (even a handshake that
arrives byte by byte ends) and reacts immediately when its thread is stopped.
"""

import errno
import os
import select
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from workers.gateway_manager.websocket.waker import InterruptedWaitError, Waker

_READ_BYTES = 65536
# The end of the peer's data, as poll() reports it without reading: a reset everywhere, a FIN on Linux.
_HUNG_UP = getattr(select, "POLLRDHUP", 0)

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
        self._buffer = memoryview(b"")
        self._poller = select.poll()
        self._poller.register(waker.fileno(), select.POLLIN)
        self._polled_for: int | None = None
        """What the poller looks for on the socket."""
        self.deadline = 0.0
        """Monotonic seconds at which reading or writing gives up."""
        self._closed = False  # websocket-client reads this attribute

    def connect(self, address: tuple[object, ...]) -> None:
        """Connects the socket. Raises OSError, DeadlinePassedError, InterruptedWaitError."""
        if self.interrupted():
            raise InterruptedWaitError
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

    def peek(self) -> memoryview:
        """What has arrived and was not taken yet: at least one byte, or nothing at the end of the stream."""
        if not self._buffer:
            # Checked before each read: a peer that keeps sending must not extend the deadline.
            if monotonic() >= self.deadline:
                raise DeadlinePassedError
            self._buffer = memoryview(self._retry(self._read, select.POLLIN))
        return self._buffer

    def recv(self, size: int) -> bytes:
        """At least one byte and at most `size`, or nothing at the end of the stream."""
        there = self.peek()
        self._buffer = there[size:]
        return bytes(there[:size])

    def recv_line(self, limit: int) -> bytes:
        """The next bytes up to a line feed, with it. Raises TooManyBytesError past the limit, EOFError."""
        line = bytearray()
        while not line.endswith(b"\n"):
            room = limit - len(line)
            if room <= 0:
                raise TooManyBytesError
            there = bytes(self.peek()[:room])
            if not there:
                raise EOFError
            line += self.recv(there.find(b"\n") + 1 or len(there))
        return bytes(line)

    def send(self, data: bytes) -> int:
        """Sends at least one byte of `data`; returns how many."""
        return self._retry(lambda: self._sock.send(data), select.POLLOUT)

    def wait_readable(self, until: float) -> bool:
        """Whether there is something to read before this time (monotonic seconds).

        Raises InterruptedWaitError.
        """
        if self._buffer or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
            if self.interrupted():
                raise InterruptedWaitError
            return True
        while self._wait(select.POLLIN, until):
            if not isinstance(self._sock, ssl.SSLSocket):
                return True
            # It may be TLS's own data (a session ticket, a new key), without any for the application.
            try:
                self._buffer = memoryview(self._read())
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if monotonic() >= until:
                    return False
            else:
                return True
        return False

    def wait_hung_up(self, until: float) -> bool:
        """Waits without reading: whether the peer's end is seen before this time (monotonic seconds).

        Raises InterruptedWaitError.
        """
        return self._wait(_HUNG_UP, until)

    def gettimeout(self) -> float:
        """Zero: websocket-client then leaves all waiting to `recv` and `send`."""
        return 0

    def settimeout(self, timeout: float | None) -> None:
        """Ignored: websocket-client calls it, but this class has its own deadlines."""

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def shutdown(self, how: int) -> None:
        """As a socket's."""
        self._sock.shutdown(how)

    def close(self) -> None:
        """Gives the descriptor back; what was not sent yet is left to the system."""
        self._closed = True
        self._sock.close()

    def _read(self) -> bytes:
        return self._sock.recv(_READ_BYTES)

    def _retry(self, operation: Callable[[], Result], wanted: int) -> Result:
        while True:
            if self.interrupted():
                raise InterruptedWaitError
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
            if self._waker.poll(self._poller, until):
                return True
            if monotonic() >= until:
                return False
        raise InterruptedWaitError
