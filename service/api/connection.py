"""A client's connection, as gunicorn takes a socket: nothing waits on it without end."""

import select
import socket
from time import monotonic
from typing import Any

from gunicorn.http.body import LengthReader  # type: ignore[import-untyped]
from gunicorn.http.errors import LimitRequestHeaders, ParseException  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]

REQUEST_LIMIT_S = 10.0
"""How long a request may take to arrive, its body included if that is small. No thread waits for it."""
STALL_LIMIT_S = 20.0
"""How long a thread waits for a big body, or for an answer to be taken, and …"""
SLOWEST_BYTES_PER_S = 50_000
"""… how fast it has to go on beyond that."""
LINGER_S = 2.0
"""How long the client may take to close behind the last answer: closing first could cost it that answer."""
HEAD_BYTES = 64 * 1024
SMALL_BODY_BYTES = 64 * 1024
_PART_BYTES = 64 * 1024


class UnfinishedError(Exception):
    """What has arrived is not a whole request yet."""


class StalledBodyError(ParseException):  # type: ignore[misc]
    """A body did not go on in time."""


class Connection:
    """Used by one thread at a time."""

    def __init__(self, settings: Any, accepted: socket.socket, client: Any, server: Any) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = accepted
        # What gunicorn's worker asks of a connection.
        self.sock, self.client, self.server = self, client, server
        self.parser = RequestParser(settings, self, client)
        self.deadline = monotonic() + REQUEST_LIMIT_S
        """When it is to be closed, unless something comes."""
        self.is_over = False
        """There is nothing to be done any more but to close it."""
        self._is_lingering = self._is_expecting = False
        self._begun: Any = None
        self._arrived: list[bytes] | None = None
        self._answer: list[bytes] = []
        self._waiting_since, self._moved_bytes = 0.0, 0

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def next_request(self) -> Any:
        """The next request; of its body at least what is small.

        Raises UnfinishedError as long as that has not arrived, and what gunicorn's parser raises.
        """
        if self._is_lingering:
            self.is_over = not self._socket.recv(_PART_BYTES)
            raise UnfinishedError
        try:
            self._begun = self._begun or self._parse()
            self._receive_small_body()
        except UnfinishedError:
            if not self._is_expecting and (self._begun or self.parser.unreader.buf.getvalue()):
                self._is_expecting, self.deadline = True, monotonic() + REQUEST_LIMIT_S
            raise
        request, self._begun, self._is_expecting = self._begun, None, False
        self._waiting_since, self._moved_bytes = monotonic(), 0
        return request

    def has_more(self) -> bool:
        """Whether something arrived behind the last request, of which no selector knows."""
        return bool(self.parser.unreader.buf.getvalue())

    def rest(self, limit_s: float) -> None:
        """It may be silent for so long until its next request."""
        self.deadline = monotonic() + limit_s

    def has_whole_body(self) -> bool:
        """Whether all of the last request has arrived, also what the application did not read of it."""
        reader = self.parser.mesg.body.reader
        if isinstance(reader, LengthReader) and not reader.length:
            return True
        self._arrived = []
        try:
            return bool(self.parser.finish_body(max_bytes=_PART_BYTES))
        except (UnfinishedError, ParseException):
            return False
        finally:
            self._arrived = None

    def recv(self, size: int) -> bytes:
        """For the parser, which does not wait, and bodies, which do: UnfinishedError, StalledBodyError."""
        try:
            data = self._socket.recv(size)
        except BlockingIOError:
            if self._arrived is not None:
                raise UnfinishedError from None
            if not self._wait(select.POLLIN):
                raise StalledBodyError from None
            data = self._socket.recv(size)
        if self._arrived is not None:
            self._arrived.append(data)
            if sum(map(len, self._arrived)) > HEAD_BYTES:
                raise LimitRequestHeaders("the head of a request is too big")
        self._moved_bytes += len(data)
        return data

    def send(self, data: bytes) -> None:
        """At once: for what comes before an answer. Raises OSError."""
        self.sendall(data)
        self.flush()

    def sendall(self, data: bytes) -> None:
        """Keeps a part of the answer for `flush`."""
        self._answer.append(data)

    def flush(self) -> None:
        """Sends what was kept, in one piece where it fits. Raises OSError."""
        rest = memoryview(b"".join(self._answer))
        self._answer.clear()
        self._waiting_since, self._moved_bytes = monotonic(), 0
        while rest:
            try:
                sent = self._socket.send(rest)
            except BlockingIOError:
                if not self._wait(select.POLLOUT):
                    raise TimeoutError("the client does not take its answer") from None
            else:
                rest = rest[sent:]
                self._moved_bytes += sent

    def discard(self) -> None:
        """Forgets what was kept of an answer."""
        self._answer.clear()

    def linger(self) -> None:
        """Nothing more is said; it is over when the client closes, or after LINGER_S."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.is_over = True
        self._is_lingering, self.deadline = True, monotonic() + LINGER_S

    def close(self) -> None:
        """At once."""
        self._socket.close()

    def _parse(self) -> Any:
        unreader = self.parser.unreader
        self._arrived = [unreader.buf.getvalue()]
        try:
            return next(self.parser)
        except UnfinishedError:
            # From the beginning, next time: the parser keeps nothing.
            unreader.take_buffered()
            unreader.unread(b"".join(self._arrived))
            raise
        finally:
            self._arrived = None

    def _receive_small_body(self) -> None:
        reader, unreader = self._begun.body.reader, self.parser.unreader
        if not isinstance(reader, LengthReader) or reader.length > SMALL_BODY_BYTES:
            return
        if self._begun._expected_100_continue:  # noqa: SLF001 (it waits for an answer first)
            return
        while len(unreader.buf.getbuffer()) < reader.length:
            try:
                data = self._socket.recv(reader.length)
            except BlockingIOError:
                raise UnfinishedError from None
            if not data:
                return
            unreader.unread(unreader.take_buffered() + data)

    def _wait(self, event: int) -> bool:
        poll = select.poll()
        poll.register(self._socket, event)
        until = self._waiting_since + STALL_LIMIT_S + self._moved_bytes / SLOWEST_BYTES_PER_S
        return bool(poll.poll(max(0.0, until - monotonic()) * 1000))
