"""GET /metrics of a worker: one thread, one client at a time, everything bounded."""

import logging
import select
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from time import monotonic

from service.errors import ConfigurationError
from service.threads import BackgroundThread
from workers.gateway_manager.waker import Waker

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 8192
CLIENT_TIMEOUT_S = 2.0
_BACKLOG = 8
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsServer:
    """Owns a thread and a listening socket."""

    def __init__(self, host: str, port: int, text: Callable[[], bytes]) -> None:
        """Takes the port. `text` is called by the server's thread. Raises ConfigurationError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            message = f"can not listen on METRICS_HOST {host}, METRICS_PORT {port}: {error.strerror or error}"
            raise ConfigurationError(message) from None
        self._listener.setblocking(False)
        self._text = text
        self._waker = Waker()
        self._stopping = threading.Event()
        self._thread = BackgroundThread(self._run, "metrics")

    def start(self) -> None:
        """Starts answering."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the client in hand, and gives the port back."""
        self._stopping.set()
        self._waker.wake()
        self._thread.join(timeout_s)
        self._listener.close()

    # From here on: the server's own thread.

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        poller.register(self._waker.fileno(), select.POLLIN)
        while not self._stopping.is_set():
            poller.poll()
            self._waker.clear()
            try:
                client, _ = self._listener.accept()
            except OSError:
                # Nobody there after all, or no file left for it: looked at again when somebody comes.
                self._stopping.wait(0.1)
                continue
            with closing(client):
                try:
                    self._serve(client, monotonic() + CLIENT_TIMEOUT_S)
                except OSError as error:
                    log.debug("a client of the metrics went away or was too slow: %s", error)
        self._waker.close()

    def _serve(self, client: socket.socket, deadline: float) -> None:
        """Reads one request, answers it. Raises OSError, also when the time is up."""
        request = b""
        while b"\r\n\r\n" not in request:
            if len(request) > MAX_REQUEST_BYTES:
                _send(client, deadline, "431 Request Header Fields Too Large", b"")
                return
            client.settimeout(_left_s(deadline))
            received = client.recv(MAX_REQUEST_BYTES)
            if not received:
                return
            request += received
        status, body = self._answer(request.split(b"\r\n", 1)[0].split(b" "))
        _send(client, deadline, status, body)

    def _answer(self, request_line: list[bytes]) -> tuple[str, bytes]:
        if len(request_line) != 3 or not request_line[2].startswith(b"HTTP/1."):
            return "400 Bad Request", b""
        method, path, _ = request_line
        if path != b"/metrics":
            return "404 Not Found", b""
        if method != b"GET":
            return "405 Method Not Allowed", b""
        return "200 OK", self._text()


def _send(client: socket.socket, deadline: float, status: str, body: bytes) -> None:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {_CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    client.settimeout(_left_s(deadline))
    client.sendall(head.encode() + body)


def _left_s(deadline: float) -> float:
    """Raises TimeoutError when there is no time left: a time-out of zero would mean something else."""
    left_s = deadline - monotonic()
    if left_s <= 0:
        raise TimeoutError("the client took too long")
    return left_s
