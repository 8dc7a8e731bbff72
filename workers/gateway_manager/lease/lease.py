"""This worker's right to its gateways: a row that it renews, and a clock that runs out before the row does.

What counts as a renewal, and for how long, is `Hold`'s arithmetic; docs/reliability.md derives it. Three
things count: a renewal that is written; an answer of any kind on the session that wrote one (a database that
is full or read-only hears us all the same); and a refused connection (nothing listens there, so nobody can
take our gateways now, nor for the time of a lease once it is back). Silence counts for nothing: a database
that does not answer us may be there for others.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg

from service.config import DatabaseConfig
from service.database.engine.pool import Connection, ConnectionExecutor, connect
from service.database.engine.timeout_connection import has_news
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from service.errors import DatabaseError
from service.threads import BackgroundThread
from workers.gateway_manager.lease.database_probe import is_refusing
from workers.gateway_manager.lease.expiry import Hold
from workers.gateway_manager.lease.watchdog_process import lease_clock
from workers.gateway_manager.settings import LeaseSettings

log = logging.getLogger("millgate.lease")

_RETRY_S = 0.25


class Lease:
    """Owns the database session that stands for this worker, and two threads. Any thread may ask `holds`.

    One renews, and may have to wait for the database; the other waits for nothing but the end of the lease.
    """

    def __init__(  # noqa: PLR0913 - wired once, by name
        self,
        *,
        database: DatabaseConfig,
        settings: LeaseSettings,
        version: str,
        gateways_held: Callable[[], int],
        capacity: Callable[[], int],
        on_gain: Callable[[], None],
        on_loss: Callable[[], None],
        fence: Callable[[float | None], None],
    ) -> None:
        """Called from the lease's threads, one at a time, and with short work only:

        `on_gain`: after registering. `on_loss`: closes all sockets; only when it returns does this worker
        register anew. `fence`: is told until when (`lease_clock`) sockets may be open; None: none are.
        """
        self._database = database
        self._settings = settings
        self._version = version
        self._gateways_held = gateways_held
        self._capacity = capacity
        self._on_gain = on_gain
        self._on_loss = on_loss
        self._fence = fence
        self._hold = Hold(settings.duration_s, settings.margin_s)
        self._lock = threading.Lock()
        """Whoever changes the hold, or loses it, has this."""
        self._connection: Connection | None = None
        self._worker: WorkerIdentity | None = None
        self._is_standing = False
        """Whether the database knows our connection as the session that stands for this worker."""
        self._answers_count = False
        self._is_draining = False
        self._stopping = threading.Event()
        self._nudged = threading.Event()
        self._told_unreachable = False
        self.is_answered = True
        """Whether the database answered when it was last asked, be it with an error."""
        self._renewing = BackgroundThread(self._renew, "lease")
        self._ending = BackgroundThread(self._watch_the_end, "lease-end")

    def start(self) -> None:
        """Starts registering and renewing."""
        self._renewing.start()
        self._ending.start()

    @property
    def worker(self) -> WorkerIdentity | None:
        """Who this worker is, while the lease is held."""
        worker = self._worker
        return worker if worker is not None and self.holds(worker) else None

    def holds(self, worker: WorkerIdentity) -> bool:
        """Whether what `worker` claimed may be used at this moment: never again, once it was lost."""
        return self._hold.is_running(lease_clock()) and self._worker is worker

    def left_s(self) -> float:
        """How long the sockets may stay open unless something is heard before; 0 without a lease."""
        return max(0.0, self._hold.until - lease_clock()) if self._worker is not None else 0.0

    def drain(self) -> None:
        """Tells the others, as soon as possible, that this worker is about to stop."""
        self._is_draining = True
        self._nudged.set()

    def stop(self, timeout_s: float) -> None:
        """Stops renewing and closes the session; the lease ends by itself or by `WorkerRepository.end`."""
        self._stopping.set()
        self._nudged.set()
        deadline = lease_clock() + timeout_s
        for thread in (self._renewing, self._ending):
            thread.join(max(0.0, deadline - lease_clock()))

    # The thread that waits for the end of the lease, and for nothing else.

    def _watch_the_end(self) -> None:
        while not self._stopping.wait(self._seconds_to_look_away()):
            self._lose_what_is_over()

    def _seconds_to_look_away(self) -> float:
        # A new lease lasts longer than this. The end moves nearer only when the session ends, and then
        # the other thread looks at once.
        is_held = self._worker is not None
        return max(0.0, self._hold.until - lease_clock()) if is_held else self._settings.heartbeat_s

    def _lose_what_is_over(self) -> None:
        """On either thread, and before anything else after a sleep: nothing may be written before it."""
        with self._lock:
            if self._worker is not None and not self.holds(self._worker):
                self._lose("it was not renewed in time")

    def _lose(self, why: str) -> None:
        """With the lock, on either thread. Returns when all sockets are closed."""
        lost, self._worker = self._worker, None
        self._hold.lost()
        self._on_loss()
        self._fence(None)
        log.error(
            "lease lost: %s; all sessions are closed, they start anew with the next lease",
            why,
            extra={"worker": str(lost and lost.id), "gateways": self._gateways_held()},
        )

    # The thread that registers and renews. The session is its own.

    def _renew(self) -> None:
        while not self._stopping.is_set():
            self._nudged.clear()
            pause_s = self._settings.heartbeat_s if self._renew_once(lease_clock()) else _RETRY_S
            self._pause(pause_s)
        self._disconnect()

    def _pause(self, seconds: float) -> None:
        """Until the time is up, somebody nudges, or the session has ended: then others see us as unknown."""
        deadline = lease_clock() + seconds
        while (left_s := deadline - lease_clock()) > 0 and not self._has_session_ended():
            if self._nudged.wait(min(left_s, _RETRY_S)):
                return

    def _has_session_ended(self) -> bool:
        """Whether the server says something unasked, which is its goodbye. The next statement finds out."""
        connection = self._connection
        return connection is not None and not connection.closed and has_news(connection)

    def _renew_once(self, sent_at: float) -> bool:
        self._lose_what_is_over()
        worker = self.worker
        if worker is None and self._is_standing:
            # As long as its session is heard, a worker that lost its lease is not ended.
            self._disconnect()
        try:
            workers = WorkerRepository(ConnectionExecutor(self._connect()))
            if worker is None:
                self._gain(workers, sent_at)
            elif not self._write(workers, worker, sent_at):
                return False
        except (DatabaseError, psycopg.Error) as error:
            self._tell_unreachable(error)
            self.is_answered = _sqlstate(error) is not None
            self._count_failure(worker, sent_at, was_answered=self.is_answered)
            return False
        self._is_standing = self.is_answered = True
        self._told_unreachable = False
        return True

    def _gain(self, workers: WorkerRepository, sent_at: float) -> None:
        host, pid = socket.gethostname()[:255] or "unknown", os.getpid()
        lease_s, capacity = self._settings.duration_s, self._capacity()
        worker = workers.register(host, pid, self._version, lease_s, capacity)
        # Not before what was lost is closed.
        with self._lock:
            self._hold.renewed(sent_at)
            self._fence(self._hold.until)
            self._worker = worker
        log.info("worker registered", extra={"worker": str(worker.id), "epoch": worker.epoch})
        self._on_gain()

    def _write(self, workers: WorkerRepository, worker: WorkerIdentity, sent_at: float) -> bool:
        is_renewed = workers.renew(
            worker, self._gateways_held(), capacity=self._capacity(), is_draining=self._is_draining
        )
        with self._lock:
            if not self.holds(worker):
                return False
            if not is_renewed:
                self._lose("the database has ended it")
                return False
            self._hold.renewed(sent_at)
            self._fence(self._hold.until)
        return True

    def _count_failure(self, worker: WorkerIdentity | None, sent_at: float, *, was_answered: bool) -> None:
        """Nothing was written. What do we know all the same?"""
        is_connected = self._connection is not None and not self._connection.closed
        is_heard = was_answered and is_connected and self._is_standing and self._answers_count
        is_refused = not is_connected and is_refusing(self._database.url)
        if not is_connected:
            self._disconnect()
        with self._lock:
            if worker is None or not self.holds(worker):
                return
            if is_heard:
                self._hold.answered(sent_at)
            elif is_refused:
                self._hold.refused(sent_at)
            self._fence(self._hold.until)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._database, "millgate-lease")
            # Without it the server does not note when it last heard a session.
            [tracks] = self._connection.execute("SHOW track_activities").fetchone() or [""]
            self._answers_count = tracks == "on"
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None
        self._is_standing = False
        with self._lock:
            self._hold.session_ended()

    def _tell_unreachable(self, error: Exception) -> None:
        if not self._told_unreachable:
            log.warning("lease not renewed (%s); trying again until it is", type(error).__name__)
        self._told_unreachable = True


def _sqlstate(error: BaseException) -> str | None:
    """The server's word about what went wrong, if it had one."""
    source = error.__cause__ if isinstance(error, DatabaseError) else error
    return source.sqlstate if isinstance(source, psycopg.Error) else None
