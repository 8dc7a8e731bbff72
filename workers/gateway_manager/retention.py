"""Deletes history past its retention time, in small batches."""

import logging
import threading
from collections.abc import Callable

from service.database.engine.pool import Database
from service.database.observed.connections import ConnectionRepository
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from service.errors import DatabaseError
from service.ongoing_failure import OngoingFailure
from service.threads import BackgroundThread

log = logging.getLogger("millgate.worker")

_BATCH = 1000


class Pruner:
    """Owns a thread."""

    def __init__(
        self,
        database: Database,
        worker: Callable[[], WorkerIdentity | None],
        retention_days: int,
        interval_s: float = 60.0,
    ) -> None:
        self._database = database
        self._worker = worker
        self._retention_days = retention_days
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._pruning = OngoingFailure(
            log,
            begins="cannot prune history: %s; the database grows meanwhile; check PostgreSQL, see"
            " docs/runbook.md#database-away",
            ends="history is pruned again, after %.1f s",
        )
        self._thread = BackgroundThread(self._run, "pruner")

    def start(self) -> None:
        """Starts pruning, every `interval_s`."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the batch under way."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self._prune()
                self._pruning.over()
            except DatabaseError as error:
                self._pruning.failed(error)

    def _prune(self) -> None:
        """Deletes in small batches, each in its own transaction, so that no writer waits long."""
        worker = self._worker()
        if worker is None:
            return
        repository = ConnectionRepository(self._database, worker)
        while not self._stopping.is_set():
            if repository.prune_events(self._retention_days, _BATCH) < _BATCH:
                break
        WorkerRepository(self._database).prune()
