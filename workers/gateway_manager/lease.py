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
from service.database.pool import Connection, ConnectionExecutor, connection_options
from service.database.workers import WorkerIdentity, WorkerRepository
from service.errors import DatabaseError
from workers.gateway_manager.guard import lease_clock
from workers.gateway_manager.hold import Hold
from workers.gateway_manager.probe import is_refusing
from workers.gateway_manager.settings import LeaseSettings

log = logging.getLogger(__name__)

_RETRY_S = 0.25


class Lease:
    """Owns a thread and the database session that stands for this worker. Any thread may ask `holds`."""

    def __init__(  # noqa: PLR0913 - wired once, by name
        self,
        *,
        database: DatabaseConfig,
        settings: LeaseSettings,
        version: str,
        gateways_held: Callable[[], int],
        on_gain: Callable[[], None],
        on_loss: Callable[[], None],
        fence: Callable[[float | None], None],
    ) -> None:
        """Called from the lease's thread, all but `gateways_held` with short work only:

        `on_gain`: after registering. `on_loss`: closes all sockets; only when it returns does this worker
        register anew. `fence`: is told until when (`lease_clock`) sockets may be open; None: none are.
        """
        self._database = database
        self._settings = settings
        self._version = version
        self._gateways_held = gateways_held
        self._on_gain = on_gain
        self._on_loss = on_loss
        self._fence = fence
        self._hold = Hold(settings.duration_s, settings.margin_s)
        self._connection: Connection | None = None
        self._worker: WorkerIdentity | None = None
        self._is_standing = False
        """Whether the database knows our connection as the session that stands for this worker."""
        self._answers_count = False
        self._is_draining = False
        self._is_stopping = False
        self._nudged = threading.Event()
        self._told_unreachable = False
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Starts registering and renewing."""
        self._thread.start()

    @property
    def worker(self) -> WorkerIdentity | None:
        """Who this worker is, while the lease is held."""
        worker = self._worker
        return worker if worker is not None and self.holds(worker) else None

    def holds(self, worker: WorkerIdentity) -> bool:
        """Whether what `worker` claimed may be used at this moment: never again, once it was lost."""
        return self._hold.is_running(lease_clock()) and self._worker is worker

    def drain(self) -> None:
        """Tells the others, as soon as possible, that this worker is about to stop."""
        self._is_draining = True
        self._nudged.set()

    def stop(self, timeout_s: float) -> None:
        """Stops renewing and closes the session; the lease ends by itself or by `WorkerRepository.end`."""
        self._is_stopping = True
        self._nudged.set()
        self._thread.join(timeout_s)

    # From here on: the lease's own thread.

    def _run(self) -> None:
        while not self._is_stopping:
            self._nudged.clear()
            # Renewing what has run out would go on with an epoch whose sessions have ended without a report.
            self._lose_if_over("it ran out before it was renewed")
            renewed = self._renew_once(lease_clock())
            self._lose_if_over("it could not be renewed in time")
            pause_s = self._settings.heartbeat_s if renewed else _RETRY_S
            self._nudged.wait(max(0.0, min(pause_s, self._time_left_s())))
        self._disconnect()

    def _time_left_s(self) -> float:
        return self._hold.until - lease_clock() if self._worker is not None else self._settings.heartbeat_s

    def _renew_once(self, sent_at: float) -> bool:
        try:
            connection = self._connect()
            is_written = self._write(WorkerRepository(ConnectionExecutor(connection)), sent_at)
        except (DatabaseError, psycopg.Error) as error:
            self._tell_unreachable(error)
            self._count_failure(sent_at, was_answered=_sqlstate(error) is not None)
            return False
        if is_written:
            self._is_standing = True
            self._told_unreachable = False
        return is_written

    def _write(self, workers: WorkerRepository, sent_at: float) -> bool:
        if self._worker is None:
            self._gain(workers, sent_at)
            return True
        if not workers.renew(self._worker, self._gateways_held(), is_draining=self._is_draining):
            self._lose("the database has ended it")
            return False
        if not self.holds(self._worker):
            self._lose("it ran out while it was renewed")
            return False
        self._hold.renewed(sent_at)
        self._fence(self._hold.until)
        return True

    def _count_failure(self, sent_at: float, *, was_answered: bool) -> None:
        """Nothing was written. What do we know all the same?"""
        is_connected = self._connection is not None and not self._connection.closed
        if not is_connected:
            self._disconnect()
        if self._worker is None or not self.holds(self._worker):
            return
        if was_answered and is_connected and self._is_standing and self._answers_count:
            self._hold.answered(sent_at)
        elif not is_connected and is_refusing(self._database.url):
            self._hold.refused(sent_at)
        self._fence(self._hold.until)

    def _gain(self, workers: WorkerRepository, sent_at: float) -> None:
        host, pid = socket.gethostname()[:255] or "unknown", os.getpid()
        worker = workers.register(host, pid, self._version, self._settings.duration_s)
        self._hold.renewed(sent_at)
        self._fence(self._hold.until)
        self._worker = worker
        log.info("worker registered", extra={"worker": str(worker.id), "epoch": worker.epoch})
        self._on_gain()

    def _lose_if_over(self, why: str) -> None:
        if self._worker is not None and not self.holds(self._worker):
            self._lose(why)

    def _lose(self, why: str) -> None:
        self._hold.lost()
        self._worker = None
        self._on_loss()
        self._fence(None)
        # As long as the old session is heard, the old worker is not ended.
        self._disconnect()
        log.error("lease lost: %s; all sessions are closed, they start anew with the next lease", why)

    def _connect(self) -> Connection:
        if self._connection is None:
            options = connection_options(self._database, "millgate-lease")
            self._connection = psycopg.connect(self._database.url, **options)
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
        self._hold.session_ended()

    def _tell_unreachable(self, error: Exception) -> None:
        if not self._told_unreachable:
            log.warning("lease not renewed (%s); trying again until it is", type(error).__name__)
        self._told_unreachable = True


def _sqlstate(error: BaseException) -> str | None:
    """The server's word about what went wrong, if it had one."""
    source = error.__cause__ if isinstance(error, DatabaseError) else error
    return source.sqlstate if isinstance(source, psycopg.Error) else None
