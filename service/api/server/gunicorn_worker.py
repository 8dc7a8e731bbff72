"""gunicorn's parts that we replace: how it logs, and how it answers what is no HTTP request at all."""

import logging
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import gevent  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

from service.api.middleware.request_log import tell_of_request
from service.api.server.client_socket import HEAD_TIMEOUT_S, ClientSocket
from service.api.server.error_responses import problem_for_unreadable, raw_response
from service.api.server.request_body import RequestBody
from service.api.web.errors import INTERNAL_ERROR
from service.api.web.request_id import new_request_id
from service.file_limit import raise_file_limit
from service.ongoing_failure import FailureNotice

log = logging.getLogger("millgate.api")

MAX_CLIENTS = 10_000
"""Connections of a process. One that waits costs some 20 KiB."""
OTHER_FILES = 256
"""What a process has open beside its clients' connections: the database's, files of metrics, listeners."""
STOP_LINGER_S = 2.0
"""How long a process that stops still takes requests on the connections that it has."""
STOP_CLIENTS_S = 6.0
"""How long it waits for clients to send the rest of a request, and to take their responses."""


def connection_limit() -> int:
    """How many clients a process may have: MAX_CLIENTS, unless it may open fewer files."""
    limit = raise_file_limit()
    return MAX_CLIENTS if limit == resource.RLIM_INFINITY else max(16, min(MAX_CLIENTS, limit - OTHER_FILES))


def settled(cfg: Any) -> Any:
    """gunicorn's settings, looked up once: its parser and responses ask for dozens of them a request."""
    networks = cfg.forwarded_allow_networks()
    values = {name: setting.get() for name, setting in cfg.settings.items()}
    own = {name: getattr(cfg, name) for name, kind in vars(type(cfg)).items() if isinstance(kind, property)}
    return SimpleNamespace(**{**values, **own, "forwarded_allow_networks": lambda: networks})


def settle(request: Any) -> None:
    """Has a request mean what RFC 9112 says that it does."""
    # 2.3 and RFC 9110, 6.2: later versions of HTTP/1 are answered as 1.1, which is what is spoken here.
    request.version = min(request.version, (1, 1))
    # 3.2.2: the host in the target counts, whatever the Host header says.
    if not request.uri.startswith("/") and (host := urlsplit(request.uri).netloc):
        request.headers = [(name, host if name == "HOST" else value) for name, value in request.headers]


def has_unread(reader: Any) -> bool:
    """Whether the application left something of a body, which gunicorn reads before the next request."""
    return bool(getattr(reader, "length", 0) or getattr(reader, "parser", None))


class ApiWorker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, with deadlines for clients, errors that look like ours, and a quick stop."""

    cfg: Any
    on_stop: Callable[[], None] = staticmethod(lambda: None)
    """Called when the process is told to stop."""
    on_tick: Callable[[], None] = staticmethod(lambda: None)
    """Called about once a second."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._clients: set[ClientSocket] = set()
        self._failed_tick = FailureNotice()
        self._stopping_since: float | None = None

    def run(self) -> None:
        """Until the process is told to stop."""
        self.cfg = settled(self.cfg)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serves a connection, in a greenlet of its own."""
        wrapped = ClientSocket(client)
        self._clients.add(wrapped)
        try:
            super().handle(listener, wrapped, addr)
        finally:
            self._clients.remove(wrapped)

    @property
    def client_count(self) -> int:
        """How many connections clients have to this process."""
        return len(self._clients)

    def timeout_ctx(self) -> AbstractContextManager[None]:
        """Nothing: a ClientSocket has deadlines of its own."""
        return nullcontext()

    def handle_request(self, listener_name: Any, req: Any, sock: ClientSocket, addr: Any) -> None:
        """Answers a request. Raises StopIteration where it was the connection's last."""
        sock.begin_request()
        settle(req)
        req.body.reader = RequestBody(req, sock)
        super().handle_request(listener_name, req, sock, addr)
        sock.end_request(HEAD_TIMEOUT_S if has_unread(req.body.reader) else self.cfg.keepalive)

    def notify(self) -> None:
        """The process lives; a moment to do what is not worth a request's time, and not a process's life."""
        super().notify()
        try:
            self.on_tick()
        except Exception:
            if self._failed_tick.failed(monotonic()):
                log.exception(
                    "the task of each second fails: metrics may be out of date; report the traceback, see"
                    " docs/runbook.md#internal-errors"
                )
        else:
            self._failed_tick.over(monotonic())
        if self._stopping_since is not None:
            self._end_clients(monotonic() - self._stopping_since)

    def _end_clients(self, elapsed_s: float) -> None:
        """Those that keep a process that stops waiting."""
        for client in list(self._clients):
            if elapsed_s >= STOP_LINGER_S and not client.is_serving:
                client.end_input()
            elif elapsed_s >= STOP_CLIENTS_S and client.is_waiting:
                client.hang_up()

    def handle_exit(self, sig: Any, frame: Any) -> None:
        """Requests that are under way are answered; those that wait, at once. The next ones end connections.

        A signal's handler may interrupt whoever holds a lock, so what takes one is left to a greenlet.
        """
        super().handle_exit(sig, frame)
        self._stopping_since = monotonic()
        gevent.spawn(self.on_stop)

    def handle_quit(self, sig: Any, frame: Any) -> None:
        """The process ends."""
        gevent.spawn(self.on_stop)
        super().handle_quit(sig, frame)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002
        """Answers and logs what failed before, or beside, the application."""
        answer, request_id = problem_for_unreadable(exc), new_request_id()
        if answer is INTERNAL_ERROR:
            log.error(
                "unhandled exception in the server; the client was answered 500; report the traceback, see"
                " docs/runbook.md#internal-errors",
                exc_info=exc,
                extra={"request_id": request_id},
            )
        tell_of_request(
            request_id, getattr(req, "method", None), getattr(req, "path", None), answer.status, None
        )
        try:
            client.send(raw_response(answer, request_id))
        except OSError:
            log.debug("client disconnected before the response", extra={"request_id": request_id})


class JsonLogger(Logger):  # type: ignore[misc]
    """gunicorn's messages in our lines; its access log stays off, ours is the request log."""

    def setup(self, cfg: Any) -> None:
        """Hands everything to the root logger, which service.logs has set up."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
