"""This worker's right to its gateways: a row that it renews, and an expiry that comes before the row's.

`LeaseExpiry` computes what counts as a renewal, and for how long; docs/reliability.md derives it. Three
things count: a renewal that is written; any response on the session that wrote one (a full or read-only
database still hears the worker); and a refused connection (no server is listening, so no other worker can
take the gateways now, nor for the length of a lease once it is back). Silence counts for nothing: a database
that does not answer this worker may answer others.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable
from math import isfinite

import psycopg

from service.config import DatabaseConfig
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from service.errors import DatabaseError, DatabaseHeldError
from service.logs import time_ago
from service.ongoing_failure import OngoingFailure
from service.threads import BackgroundThread
from workers.gateway_manager.lease.expiry import Evidence, LeaseExpiry
from workers.gateway_manager.lease.lease_session import LeaseSession, was_answered
from workers.gateway_manager.lease.watchdog_process import lease_clock
from workers.gateway_manager.settings import LeaseSettings

log = logging.getLogger("millgate.lease")

_RETRY_S = 0.25


class Lease:
    """Owns the worker's registered database session, and two threads. Any thread may call `holds`.

    One thread renews, and may block on the database; the other waits only for the lease to expire.
    """

    def __init__(  # noqa: PLR0913 - wired once, by name
        self,
        *,
        database: DatabaseConfig,
        settings: LeaseSettings,
        version: str,
        gateways_held: Callable[[], int],
        capacity: Callable[[], int],
        on_acquired: Callable[[], None],
        on_lost: Callable[[], None],
        publish_deadline: Callable[[float | None], None],
    ) -> None:
        """Called from the lease's threads, one at a time, and with short work only:

        `on_acquired`: after registering. `on_lost`: closes all sockets; the worker registers again only after
        it returns. `publish_deadline`: receives until when (`lease_clock`) sockets may be open, or None.
        """
        self._session = LeaseSession(database)
        self._settings = settings
        self._version = version
        self._gateways_held = gateways_held
        self._capacity = capacity
        self._on_acquired = on_acquired
        self._on_lost = on_lost
        self._publish_deadline = publish_deadline
        self._expiry = LeaseExpiry(settings.duration_s, settings.margin_s)
        self._lock = threading.Lock()
        """Held to change the expiry, or to lose the lease."""
        self._worker: WorkerIdentity | None = None
        self._is_draining = False
        self._stopping = threading.Event()
        self._renew_now = threading.Event()
        self._held = OngoingFailure(
            log,
            begins="the database is held, so no gateway is connected: %s; once no worker uses the original,"
            " run `make take-over` (python -m service.take_over), see docs/runbook.md#database-held",
            ends="the database is no longer held, after %.1f s",
        )
        self._renewal_failure = OngoingFailure(
            log,
            begins="cannot renew the lease (%s); sessions stay as long as the lease allows; check PostgreSQL"
            " and the network to it, see docs/runbook.md#database-away",
            ends="the database takes the lease again, after %.1f s",
        )
        self.is_answered = True
        """Whether the database answered the last statement, even if with an error."""
        self._renewing = BackgroundThread(self._renew, "lease")
        self._watching = BackgroundThread(self._watch_expiry, "lease-expiry")

    def start(self) -> None:
        """Starts registering and renewing."""
        self._renewing.start()
        self._watching.start()

    @property
    def worker(self) -> WorkerIdentity | None:
        """This worker's identity, while it holds the lease."""
        worker = self._worker
        return worker if worker is not None and self.holds(worker) else None

    def holds(self, worker: WorkerIdentity) -> bool:
        """Whether `worker`'s gateways may be used now. False for good once its lease is lost."""
        return self._expiry.is_valid(lease_clock()) and self._worker is worker

    def remaining_s(self) -> float:
        """How long the sockets may stay open without another renewal; 0 without a lease."""
        return max(0.0, self._expiry.until - lease_clock()) if self._worker is not None else 0.0

    def drain(self) -> None:
        """Announces, as soon as possible, that this worker is about to stop."""
        self._is_draining = True
        self._renew_now.set()

    def stop(self, timeout_s: float) -> None:
        """Stops renewing and closes the session; the lease ends by itself or by `WorkerRepository.end`."""
        self._stopping.set()
        self._renew_now.set()
        deadline = lease_clock() + timeout_s
        for thread in (self._renewing, self._watching):
            thread.join(max(0.0, deadline - lease_clock()))

    # The thread that waits for the lease to expire, and for nothing else.

    def _watch_expiry(self) -> None:
        while not self._stopping.wait(self._until_expiry_s()):
            self._lose_if_expired()

    def _until_expiry_s(self) -> float:
        # A new lease lasts longer than this. Only the end of the session shortens it, and then the other
        # thread checks immediately.
        is_held = self._worker is not None
        return max(0.0, self._expiry.until - lease_clock()) if is_held else self._settings.heartbeat_s

    def _lose_if_expired(self) -> None:
        """On either thread, first thing after a wait: an expired lease must not be renewed."""
        with self._lock:
            if self._worker is not None and not self.holds(self._worker):
                self._lose("it was not renewed in time")

    def _lose(self, why: str) -> None:
        """With the lock, on either thread. Returns when all sockets are closed."""
        lost, self._worker = self._worker, None
        since, gateways = time_ago(lease_clock() - self._expiry.protected_at), self._gateways_held()
        self._expiry.lost()
        self._on_lost()
        self._publish()
        log.error(
            "lease lost: %s, last renewed at %s; closed the sessions of %d gateways, which other workers may"
            " take over; registering again by itself; check PostgreSQL, and this machine's load, see"
            " docs/runbook.md#lease-margin-low",
            why,
            since,
            gateways,
            extra={"worker": str(lost and lost.id), "gateways": gateways, "since": since},
        )

    # The thread that registers and renews. It owns the session.

    def _renew(self) -> None:
        while not self._stopping.is_set():
            self._renew_now.clear()
            pause_s = self._settings.heartbeat_s if self._renew_once(lease_clock()) else _RETRY_S
            self._pause(pause_s)
        self._disconnect()

    def _pause(self, seconds: float) -> None:
        """Waits until the time is up, `drain` or `stop` is called, or the session has ended."""
        deadline = lease_clock() + seconds
        while (remaining_s := deadline - lease_clock()) > 0 and not self._session.has_ended():
            if self._renew_now.wait(min(remaining_s, _RETRY_S)):
                return

    def _renew_once(self, sent_at: float) -> bool:
        self._lose_if_expired()
        worker = self.worker
        if worker is None and self._session.is_registered:
            # The session keeps the worker's old row alive: close it, so that the row can be reaped.
            self._disconnect()
        try:
            workers = self._session.open()
            if worker is None:
                self._register(workers, sent_at)
            elif not self._write_renewal(workers, worker, sent_at):
                return False
        except DatabaseHeldError as error:
            self._held.failed(error)
        except (DatabaseError, psycopg.Error) as error:
            self._renewal_failure.failed(type(error).__name__)
            self.is_answered = was_answered(error)
            self._on_failure(worker, sent_at, self._session.evidence_of(error))
            return False
        else:
            self._session.is_registered = True
            self._held.over()
        self.is_answered = True
        self._renewal_failure.over()
        return True

    def _register(self, workers: WorkerRepository, sent_at: float) -> None:
        host, pid = socket.gethostname()[:255] or "unknown", os.getpid()
        lease_s, capacity = self._settings.duration_s, self._capacity()
        worker = workers.register(host, pid, self._version, lease_s, capacity)
        # Waits until the sockets of a lost lease are closed.
        with self._lock:
            self._expiry.renewed(sent_at)
            self._publish()
            self._worker = worker
        about = {"worker": str(worker.id), "host": host, "pid": pid, "epoch": worker.epoch}
        log.info("worker %s (pid %d) registered", host, pid, extra=about)
        self._on_acquired()

    def _write_renewal(self, workers: WorkerRepository, worker: WorkerIdentity, sent_at: float) -> bool:
        is_renewed = workers.renew(
            worker, self._gateways_held(), capacity=self._capacity(), is_draining=self._is_draining
        )
        with self._lock:
            if not self.holds(worker):
                return False
            if not is_renewed:
                self._lose("the database ended it")
                return False
            self._expiry.renewed(sent_at)
            self._publish()
        return True

    def _on_failure(self, worker: WorkerIdentity | None, sent_at: float, evidence: Evidence) -> None:
        """Nothing was written; the failure may still extend the lease."""
        if not self._session.is_connected:
            self._disconnect()
        with self._lock:
            if worker is None or not self.holds(worker):
                return
            if evidence is Evidence.ANSWERED:
                self._expiry.answered(sent_at)
            elif evidence is Evidence.REFUSED:
                self._expiry.refused(sent_at)
            self._publish()

    def _publish(self) -> None:
        """With the lock, after every change of the expiry and before anyone relies on it."""
        until = self._expiry.until
        self._publish_deadline(until if isfinite(until) else None)

    def _disconnect(self) -> None:
        self._session.close()
        with self._lock:
            self._expiry.session_ended()
