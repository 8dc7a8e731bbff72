"""gunicorn's worker: the thread that polls answers what it finds, until an answer takes long.

To hand each request over to another thread costs more than to answer most of them. So one thread leads: it
polls, and answers on the spot. Another watches it. When an answer takes longer than PATIENCE_S (the database
is slow, a client waits for events), the watcher leads from there on; who was overtaken answers to the end.
`threads` is how many requests are under way at once.
"""

import logging
import selectors
import socket
import threading
from collections import deque
from time import monotonic
from types import SimpleNamespace
from typing import Any

from gunicorn.http import wsgi  # type: ignore[import-untyped]
from gunicorn.http.errors import NoMoreData  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from service.api.connection import Connection, UnfinishedError

log = logging.getLogger(__name__)

PATIENCE_S = 0.002
PIPELINED = 100
"""Requests that a client may send at once, one behind the other."""
STOP_LINGER_S = 2.0
"""How long a process that stops still takes requests on the connections that it has."""
ACCEPT_PAUSE_S = 0.0005
"""What a process leaves to the others behind each connection, so that a quick one does not take all."""
_LOOK_EVERY_S = 1.0


class LeadingWorker(ThreadWorker):  # type: ignore[misc]
    """The poller belongs to the thread that leads; what others are done with comes back by `method_queue`."""

    cfg: Any
    alive: bool

    def run(self) -> None:
        """The main thread: keeps the arbiter content, and the limit on stopping."""
        self.cfg = settled(self.cfg)
        self._ended, self._stirred = threading.Event(), threading.Event()
        self._watching = threading.Lock()
        # What the leader is answering: one connection or none. Who takes it out leads.
        self._answering: deque[Connection] | None = None
        self._begun, self._is_watcher_asleep = 0, False
        self._accept_at, self._next_look, self._stop_at = 0.0, 0.0, float("inf")
        self.poller.register(self.method_queue, selectors.EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        for number in range(self.cfg.threads):
            threading.Thread(target=self._serve, name=f"http-{number}", daemon=True).start()
        while self.alive and not self._ended.wait(_LOOK_EVERY_S):
            self.notify()
            self.alive = self.alive and self.is_parent_alive()
        self._ended.wait(self.cfg.graceful_timeout)
        self._ended.set()
        self._stirred.set()

    def _serve(self) -> None:
        try:
            while self._become_leader():
                self._lead()
        except Exception:
            log.critical("the server crashed: a bug", exc_info=True)
            self.alive = False
            self._ended.set()

    def _become_leader(self) -> bool:
        """Waits until nobody leads, or who does takes too long; False at the end."""
        with self._watching:
            while not self._ended.is_set():
                answering, begun = self._answering, self._begun
                if answering is None:
                    self._answering = deque()
                    return True
                if not answering:
                    self._sleep_until_stirred(answering)
                elif not self._ended.wait(PATIENCE_S) and begun == self._begun and answering:
                    try:
                        overdue = answering.pop()
                    except IndexError:
                        continue
                    self.poller.unregister(overdue)
                    self._answering = deque()
                    return True
            return False

    def _sleep_until_stirred(self, answering: deque[Connection]) -> None:
        self._stirred.clear()
        self._is_watcher_asleep = True
        if not answering:
            self._stirred.wait(_LOOK_EVERY_S)

    def _lead(self) -> None:
        """Until overtaken, or to the end."""
        answering = self._answering
        assert answering is not None  # noqa: S101
        while not self._ended.is_set():
            for key, _ in self.poller.select(_LOOK_EVERY_S if self._accepting else ACCEPT_PAUSE_S):
                if not isinstance(key.fileobj, Connection):
                    key.data(key.fileobj)
                elif not self._attend(key.fileobj, answering):
                    return
            self._look_around()

    def _attend(self, connection: Connection, answering: deque[Connection]) -> bool:
        """Answers what has arrived. Whether this thread still leads."""
        self._begun += 1
        answering.append(connection)
        if self._is_watcher_asleep:
            self._is_watcher_asleep = False
            self._stirred.set()
        self._answer(connection)
        try:
            answering.pop()
        except IndexError:
            self.method_queue.defer(self._take_back, connection)
            return False
        if connection.is_over:
            self._drop(connection)
        return True

    def _answer(self, connection: Connection) -> None:
        request = None
        try:
            for _ in range(PIPELINED):
                request = None
                request = connection.next_request()
                if not self._respond(request, connection):
                    break
                if not connection.has_more():
                    connection.rest(self.cfg.keepalive)
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

    def _respond(self, request: Any, connection: Connection) -> bool:
        """Whether the connection may go on."""
        response, environ = wsgi.create(request, connection, connection.client, connection.server, self.cfg)
        environ["wsgi.multithread"] = True
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not self.alive:
            response.force_close()
        body = self.wsgi(environ, response.start_response)
        try:
            for part in body:
                response.write(part)
            response.close()
        finally:
            if hasattr(body, "close"):
                body.close()
        connection.flush()
        return not response.should_close() and connection.has_whole_body()

    def accept(self, listener: socket.socket) -> None:
        """Takes one connection, and leaves the next one to others for a moment."""
        try:
            accepted, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if self.nr_conns >= self.worker_connections:
            self._drop(min(self._connections(), key=lambda connection: connection.deadline))
        self.nr_conns += 1
        connection = Connection(self.cfg, accepted, client, listener.getsockname())
        self.poller.register(connection, selectors.EVENT_READ)
        self.set_accept_enabled(False)
        self._accept_at = monotonic() + ACCEPT_PAUSE_S

    def _take_back(self, connection: Connection) -> None:
        self.poller.register(connection, selectors.EVENT_READ)
        if connection.is_over:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self.poller.unregister(connection)
        connection.close()
        self.nr_conns -= 1

    def _connections(self) -> list[Connection]:
        keys = list(self.poller.get_map().values())
        return [key.fileobj for key in keys if isinstance(key.fileobj, Connection)]

    def _look_around(self) -> None:
        """Closes what was silent for too long; when the process is to end, sees to that."""
        now = monotonic()
        if self.alive:
            if not self._accepting and now >= self._accept_at:
                self.set_accept_enabled(True)
            if now < self._next_look:
                return
        elif self._stop_at > now + STOP_LINGER_S:
            self.set_accept_enabled(False)
            self._stop_at = now + STOP_LINGER_S
        self._next_look = now + _LOOK_EVERY_S
        for connection in self._connections():
            if min(connection.deadline, self._stop_at) <= now:
                self._drop(connection)
        if not self.alive and self.nr_conns == 0:
            self._ended.set()


def settled(cfg: Any) -> SimpleNamespace:
    """gunicorn's settings, looked up once: its parser and responses ask for dozens of them a request."""
    networks = cfg.forwarded_allow_networks()
    values = {name: setting.get() for name, setting in cfg.settings.items()}
    return SimpleNamespace(**{**values, "is_ssl": cfg.is_ssl, "forwarded_allow_networks": lambda: networks})
