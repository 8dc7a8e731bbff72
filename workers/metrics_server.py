"""GET /metrics of a worker, on the standard library's server: a few clients, a thread each, bounded."""

import logging
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic
from typing import Any

from service.errors import ConfigurationError
from service.threads import BackgroundThread

log = logging.getLogger("millgate.metrics")

MAX_CLIENTS = 8
CLIENT_TIMEOUT_S = 5.0
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PAUSE_WITHOUT_FILES_S = 0.1


class MetricsServer:
    """Owns a listening socket, a thread, and one for each client while it is served."""

    def __init__(
        self, host: str, port: int, text: Callable[[], bytes], serves: Callable[[str], bool]
    ) -> None:
        """Takes the port. Raises ConfigurationError.

        `text` makes the response, and `serves` checks a `Host` header: both on any thread.
        """
        try:
            self._server = _Server(host, port, text, serves)
        except OSError as error:
            message = f"cannot listen on METRICS_HOST {host}, METRICS_PORT {port}: {error.strerror or error}"
            raise ConfigurationError(message) from None
        self._thread = BackgroundThread(self._server.serve_forever, "metrics")

    def start(self) -> None:
        """Starts serving."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Disconnects all clients, ends the thread, and frees the port. Only after `start`."""
        self._server.shutdown()
        self._thread.join(timeout_s)
        self._server.server_close()
        self._server.disconnect_all()


class _Server(ThreadingMixIn, TCPServer):
    """Its methods are called by the thread of `serve_forever`, but for `shutdown_request`: by a client's."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self, host: str, port: int, text: Callable[[], bytes], serves: Callable[[str], bool]
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.text = text
        self.serves = serves
        self._lock = threading.Lock()
        self._served_until: dict[Any, float] = {}
        """By open client socket, oldest first."""
        self._ending = threading.Event()
        super().__init__((host, port), _Handler)

    def get_request(self) -> tuple[Any, Any]:
        """Accepts the next client; pauses if there is no file descriptor for it."""
        try:
            return super().get_request()
        except OSError:
            self._ending.wait(_PAUSE_WITHOUT_FILES_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a client; if there are too many, disconnects the oldest."""
        with self._lock:
            if len(self._served_until) >= MAX_CLIENTS:
                self._disconnect(next(iter(self._served_until)))
            self._served_until[request] = monotonic() + CLIENT_TIMEOUT_S
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a client that was served, or for which there was no thread."""
        with self._lock:
            self._served_until.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called about twice a second: disconnects clients whose time is up."""
        now = monotonic()
        with self._lock:
            for client, until in list(self._served_until.items()):
                if now > until:
                    self._disconnect(client)

    def disconnect_all(self) -> None:
        """Disconnects every client."""
        with self._lock:
            for client in list(self._served_until):
                self._disconnect(client)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Logs a client that left or timed out (debug), or an internal error."""
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("a client of the metrics left, or took too long", exc_info=error)
        else:
            log.error(
                "cannot serve a client of the metrics; report the traceback, see"
                " docs/runbook.md#internal-errors",
                exc_info=error,
            )

    def _disconnect(self, client: Any) -> None:
        """With the lock. The client's thread sees the end of the stream and closes it."""
        del self._served_until[client]
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_TIMEOUT_S
    server_version, sys_version = "millgate", ""

    def do_GET(self) -> None:
        """Serves the metrics to requests with an allowed Host."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1:
            self.send_error(HTTPStatus.BAD_REQUEST, "A request needs one Host")
        elif not self.server.serves(hosts[0]):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            body = self.server.text()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's
        """Logs requests in our own log."""
        log.debug(format, *args)
