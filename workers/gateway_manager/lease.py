"""This worker's right to its gateways: a row that it renews, and a clock that runs out before the row does.

The arithmetic: a renewal that is sent at time t (our monotonic clock) is received by the database at t or
later, so the lease ends in the database's eyes at t + duration or later. We stop at t + duration - margin;
the margin is what closing all sockets may take, and covers clocks that run at slightly different rates.

A database that refuses connections is not there, for anybody: nobody can take our gateways now, and once it
is back nobody may for the time of a lease (see BURY in service/database/workers.py, which waits for
pg_postmaster_start_time() + lease_duration). So a refusal that we ask for at t is worth as much as a
renewal that is sent at t. A database that is silent is not: it may be there for others.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from service.config import DatabaseConfig
from service.database.pool import Connection, ConnectionExecutor, connection_options
from service.database.workers import WorkerIdentity, WorkerRepository
from service.errors import DatabaseError
from workers.gateway_manager.probe import is_refusing
from workers.gateway_manager.settings import LeaseSettings

log = logging.getLogger(__name__)

_RETRY_S = 0.25


def lease_clock() -> float:
    """Seconds that also pass while this machine is suspended, where the system can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lease:
    """Owns a thread and the database session that stands for this worker. Any thread may ask `is_held`."""

    def __init__(
        self,
        database: DatabaseConfig,
        settings: LeaseSettings,
        version: str,
        gateways_held: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called from the lease's thread whenever the lease was gained or lost."""
        self._database = database
        self._settings = settings
        self._version = version
        self._gateways_held = gateways_held
        self._on_change = on_change
        self._connection: Connection | None = None
        self._worker: WorkerIdentity | None = None
        self._held_until = 0.0
        self._stopping = threading.Event()
        self._told_unreachable = False
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Starts registering and renewing."""
        self._thread.start()

    def is_held(self) -> bool:
        """Whether this worker may use its sockets at this moment."""
        return lease_clock() < self._held_until

    @property
    def worker(self) -> WorkerIdentity | None:
        """Who this worker is, while the lease is held."""
        return self._worker if self.is_held() else None

    def stop(self, timeout_s: float) -> None:
        """Stops renewing and closes the session; the lease ends by itself or by `WorkerRepository.end`."""
        self._stopping.set()
        self._thread.join(timeout_s)

    # From here on: the lease's own thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            started_at = lease_clock()
            if self._worker is not None and not self.is_held():
                # Renewing it now would go on with an epoch whose sessions have ended without a report.
                self._lose("it ran out before it was renewed")
            renewed = self._renew_once(started_at)
            if self._worker is not None and not self.is_held():
                self._lose("it could not be renewed in time")
            pause_s = self._settings.heartbeat_s if renewed else _RETRY_S
            self._stopping.wait(max(0.0, min(pause_s, self._time_left_s())))
        self._disconnect()

    def _time_left_s(self) -> float:
        return self._held_until - lease_clock() if self._worker is not None else self._settings.heartbeat_s

    def _renew_once(self, started_at: float) -> bool:
        try:
            workers = WorkerRepository(ConnectionExecutor(self._connect()))
            if self._worker is None:
                self._gain(workers, started_at)
            elif not workers.renew(self._worker, self._gateways_held()):
                self._lose("the database has ended it")
                return False
            elif self.is_held():
                self._hold_from(started_at)
            else:
                self._lose("it ran out while it was renewed")
                return False
        except (DatabaseError, psycopg.Error) as error:
            self._disconnect()
            self._tell_unreachable(error)
            if is_refusing(self._database.url) and self.is_held():
                self._hold_from(started_at)
            return False
        self._told_unreachable = False
        return True

    def _gain(self, workers: WorkerRepository, started_at: float) -> None:
        host, pid = socket.gethostname()[:255] or "unknown", os.getpid()
        worker = workers.register(host, pid, self._version, self._settings.duration_s)
        self._hold_from(started_at)
        self._worker = worker
        log.info("worker registered", extra={"worker": str(worker.id), "epoch": worker.epoch})
        self._on_change()

    def _hold_from(self, started_at: float) -> None:
        self._held_until = started_at + self._settings.duration_s - self._settings.margin_s

    def _lose(self, why: str) -> None:
        self._held_until = 0.0
        self._worker = None
        log.error("lease lost: %s; closing all sessions, they start anew with the next lease", why)
        self._on_change()

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            options = connection_options(self._database, "millgate-lease")
            self._connection = psycopg.connect(self._database.url, **options)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _tell_unreachable(self, error: Exception) -> None:
        if not self._told_unreachable:
            log.warning("database away (%s); trying again until it is back", type(error).__name__)
        self._told_unreachable = True
