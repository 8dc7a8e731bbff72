"""gunicorn's worker: the thread that polls answers what it finds, until an answer takes long.

To hand each request over to another thread costs more than to answer most of them. So one thread leads: it
polls, and answers on the spot. The main thread watches it. When an answer takes longer than PATIENCE_S (the
database is slow, a client waits for events), another leads from there on, and who was overtaken answers to
the end. What writes waits for the disk: then the lead is passed on at once, so that commits go together.
`threads` is how many requests are under way at once.
"""

import logging
import socket
import threading
from selectors import EVENT_READ, BaseSelector
from time import monotonic
from types import SimpleNamespace
from typing import Any

from gunicorn.http import wsgi  # type: ignore[import-untyped]
from gunicorn.http.errors import NoMoreData  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from service.api.connection import Connection, UnfinishedError
from service.api.leadership import Lead, Leadership
from service.tokens import READING

log = logging.getLogger(__name__)

PATIENCE_S = 0.005
PIPELINED = 100
"""Requests that a client may send at once, one behind the other."""
STOP_LINGER_S = 2.0
"""How long a process that stops still takes requests on the connections that it has."""
ACCEPT_PAUSE_S = 0.0005
"""What an idle process leaves to the others behind each connection, so that a quick one does not take all."""
_LOOK_EVERY_S = 1.0


class LeadingWorker(ThreadWorker):  # type: ignore[misc]
    """The poller belongs to the thread that leads; what others are done with comes back by `method_queue`."""

    alive: bool

    def run(self) -> None:
        """The main thread: watches who leads, keeps the arbiter content, and the limit on stopping."""
        self._settings = settled(self.cfg)
        self._leadership = Leadership[Connection](PATIENCE_S)
        self._next_look, self._stop_at = 0.0, float("inf")
        self.poller.register(self.method_queue, EVENT_READ, self.method_queue.run_callbacks)
        for number in range(self._settings.threads):
            threading.Thread(target=self._serve, name=f"http-{number}", daemon=True).start()
        while self.alive and not self._leadership.has_ended:
            self._leadership.watch(_LOOK_EVERY_S, self.poller.unregister)
            self.notify()
            if not self.is_parent_alive():
                self.alive = False
        self._leadership.watch(self._settings.graceful_timeout, self.poller.unregister)
        self._leadership.end()

    def _serve(self) -> None:
        try:
            while (lead := self._leadership.wait()) is not None:
                self._poll(lead)
        except Exception:
            log.critical("the server crashed: a bug", exc_info=True)
            self._leadership.end()

    def _poll(self, lead: Lead[Connection]) -> None:
        """Until overtaken, or to the end."""
        while not self._leadership.has_ended:
            found = self.poller.select(_LOOK_EVERY_S if self._accepting else ACCEPT_PAUSE_S)
            self.set_accept_enabled(self.alive)
            for key, _ in found:
                if not isinstance(key.fileobj, Connection):
                    key.data(key.fileobj)
                elif key.fileobj.fileno() >= 0 and not self._attend(key.fileobj, lead):
                    return
            self._look_around()
        self._leadership.pass_on()

    def _attend(self, connection: Connection, lead: Lead[Connection]) -> bool:
        """Answers what has arrived. Whether this thread still leads."""
        lead.begin(connection)
        self._answer(connection, lead)
        if not lead.finish():
            self.method_queue.defer(self._take_back, connection)
            return False
        if connection.is_over:
            self._drop(connection)
        return True

    def _answer(self, connection: Connection, lead: Lead[Connection]) -> None:
        try:
            for _ in range(PIPELINED):
                request = None
                request = connection.next_request()
                if request.method not in READING and lead.finish():
                    self.poller.unregister(connection)
                    self._leadership.pass_on()
                self.nr += 1
                if self.nr >= self.max_requests:
                    self.alive = False
                if not respond(self.wsgi, request, connection, self._settings, is_last=not self.alive):
                    break
                if not connection.has_more():
                    connection.rest(self._settings.keepalive)
                    return
            connection.linger()
        except UnfinishedError:
            pass
        except (StopIteration, NoMoreData, OSError):
            connection.is_over = True
        except Exception as error:  # noqa: BLE001 (a server answers whatever goes wrong)
            connection.discard()
            self.handle_error(request, connection, connection.client, error)
            connection.linger()

    def accept(self, listener: socket.socket) -> None:
        """Takes one connection, and leaves the next one to others for a moment."""
        try:
            accepted, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if self.nr_conns >= self.worker_connections:
            for longest_silent in sorted(connections_in(self.poller), key=lambda found: found.deadline)[:1]:
                self._drop(longest_silent)
        self.nr_conns += 1
        self.poller.register(Connection(self._settings, accepted, client, listener.getsockname()), EVENT_READ)
        self.set_accept_enabled(False)

    def _take_back(self, connection: Connection) -> None:
        self.poller.register(connection, EVENT_READ)
        if connection.is_over:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self.poller.unregister(connection)
        connection.close()
        self.nr_conns -= 1

    def _look_around(self) -> None:
        """Closes what was silent for too long; when the process is to end, sees to that."""
        now = monotonic()
        if not self.alive:
            self._stop_at = min(self._stop_at, now + STOP_LINGER_S)
        elif now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY_S
        for connection in connections_in(self.poller):
            if min(connection.deadline, self._stop_at) <= now:
                self._drop(connection)
        if not self.alive and self.nr_conns == 0:
            self._leadership.end()


def respond(application: Any, request: Any, connection: Connection, settings: Any, *, is_last: bool) -> bool:
    """Has the application answer, and sends that. Whether the connection may go on."""
    response, environ = wsgi.create(request, connection, connection.client, connection.server, settings)
    environ["wsgi.multithread"] = True
    if is_last:
        response.force_close()
    body = application(environ, response.start_response)
    try:
        for part in body:
            response.write(part)
        response.close()
    finally:
        if hasattr(body, "close"):
            body.close()
    connection.flush()
    return not response.should_close() and connection.has_whole_body()


def connections_in(poller: BaseSelector) -> list[Connection]:
    """Those that the poller waits for."""
    keys = list(poller.get_map().values())
    return [key.fileobj for key in keys if isinstance(key.fileobj, Connection)]


def settled(cfg: Any) -> SimpleNamespace:
    """gunicorn's settings, looked up once: its parser and responses ask for dozens of them a request."""
    networks = cfg.forwarded_allow_networks()
    values = {name: setting.get() for name, setting in cfg.settings.items()}
    return SimpleNamespace(**{**values, "is_ssl": cfg.is_ssl, "forwarded_allow_networks": lambda: networks})
