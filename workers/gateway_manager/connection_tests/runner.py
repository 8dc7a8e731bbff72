"""Trials of this worker: claims what clients want tried out, a few at a time, and writes the results."""

import logging
import threading
from time import monotonic
from typing import Any

from service.config import MOST_PER_WORKER
from service.database.engine.pool import Database
from service.database.observed.connection_tests import ClaimedTrial, TrialWorkRepository
from service.database.observed.workers import WorkerIdentity
from service.errors import DatabaseError
from service.gateway_states import Phase, Reason, ReasonCode
from service.threads import BackgroundThread, NoThreadError
from workers.gateway_manager.connection_tests.connection_test import Trial, TrialSurroundings
from workers.gateway_manager.connection_tests.steps import StepRecorder
from workers.gateway_manager.lease.lease import Lease
from workers.gateway_manager.websocket.transport import describe

log = logging.getLogger("millgate.connection_test")

_CLOSE_LIMIT_S = 5.0
NO_ROOM = Reason(
    ReasonCode.NO_CAPACITY,
    "The worker's system has no room for a test at the moment. Try again.",
    Phase.CLAIM,
)


class TrialDesk:
    """Owns a thread, and one for each trial while it lasts. Any thread may call the public methods."""

    def __init__(
        self, database: Database, lease: Lease, surroundings: TrialSurroundings, poll_interval_s: float
    ) -> None:
        self._database = database
        self._lease = lease
        self._around = surroundings
        self._poll_interval_s = poll_interval_s
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Trial] = set()
        self._thread = BackgroundThread(self._run, "trials")

    def start(self) -> None:
        """Starts claiming."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to try out: look at once."""
        self._woken.set()

    def close_all(self) -> None:
        """The lease is lost, and with it the right to go on. Returns when all sockets are closed."""
        deadline = monotonic() + _CLOSE_LIMIT_S
        for trial in self._trials():
            if not trial.wait_closed(max(0.0, deadline - monotonic())):
                raise AssertionError("a trial outlived its lease")

    def begin_stop(self) -> None:
        """Claims nothing more, and leaves what is under way to other workers."""
        self._stopping.set()
        self.wake()
        for trial in self._trials():
            trial.look()

    def stop(self, timeout_s: float) -> None:
        """Ends the threads; call `begin_stop` before."""
        deadline = monotonic() + timeout_s
        self._thread.join(timeout_s)
        for trial in self._trials():
            trial.join(max(0.0, deadline - monotonic()))

    # From here on: the desk's own thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._claim()
            except DatabaseError as error:
                log.debug("trials are looked for later: %s", error)
            self._woken.wait(self._poll_interval_s)

    def _claim(self) -> None:
        worker = self._lease.worker
        if worker is None:
            return
        repository = TrialWorkRepository(self._database, worker)
        places = MOST_PER_WORKER - len(self._trials())
        for order in repository.claim(places) if places > 0 else []:
            self._begin(worker, order)
        # Last, for nobody waits for it.
        repository.prune()

    def _begin(self, worker: WorkerIdentity, order: ClaimedTrial) -> None:
        def finished(trial: Trial, result: dict[str, Any] | None) -> None:
            self._finish(worker, trial, result)

        try:
            trial = Trial(
                order,
                self._around,
                lambda: self._lease.holds(worker),
                self._stopping.is_set,
                finished,
            )
            with self._lock:
                trial.start()
                self._running.add(trial)
        except (OSError, NoThreadError) as error:
            log.warning("no room for a test of a gateway (%s)", describe(error))
            steps = StepRecorder(monotonic)
            steps.fail(NO_ROOM)
            TrialWorkRepository(self._database, worker).finish(order.id, steps.report())

    def _trials(self) -> list[Trial]:
        with self._lock:
            return list(self._running)

    # On a trial's thread.

    def _finish(self, worker: WorkerIdentity, trial: Trial, result: dict[str, Any] | None) -> None:
        try:
            repository = TrialWorkRepository(self._database, worker)
            if result is not None:
                repository.finish(trial.id, result)
            elif self._lease.holds(worker):
                repository.release(trial.id)
        except DatabaseError as error:
            log.warning("what came of a trial could not be written (%s)", error)
        finally:
            with self._lock:
                self._running.discard(trial)
            self.wake()
