"""Runs connection tests: claims a few at a time and writes the results."""

import logging
import threading
from time import monotonic
from typing import Any

from service.config import CONNECTION_TESTS_PER_WORKER
from service.database.engine.pool import Database
from service.database.observed.connection_tests import ClaimedConnectionTest, ConnectionTestClaimRepository
from service.database.observed.workers import WorkerIdentity
from service.errors import DatabaseError
from service.gateway_states import Phase, Reason, ReasonCode
from service.threads import BackgroundThread, NoThreadError
from workers.gateway_manager.connection_tests.connection_test import ConnectionTest, ConnectionTestContext
from workers.gateway_manager.connection_tests.steps import StepRecorder
from workers.gateway_manager.lease.lease import Lease
from workers.gateway_manager.websocket.transport import describe

log = logging.getLogger("millgate.connection_test")

_CLOSE_LIMIT_S = 5.0
NO_CAPACITY = Reason(
    ReasonCode.NO_CAPACITY,
    "The worker has no files or threads left for a test. Try again.",
    Phase.CLAIM,
)


class ConnectionTestRunner:
    """Owns a thread, and one for each test while it lasts. Any thread may call the public methods."""

    def __init__(
        self, database: Database, lease: Lease, context: ConnectionTestContext, poll_interval_s: float
    ) -> None:
        self._database = database
        self._lease = lease
        self._context = context
        self._poll_interval_s = poll_interval_s
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: set[ConnectionTest] = set()
        self._thread = BackgroundThread(self._run, "connection-tests")

    def start(self) -> None:
        """Starts claiming."""
        self._thread.start()

    def wake(self) -> None:
        """There may be a test to claim: check now."""
        self._woken.set()

    def close_all(self) -> None:
        """Ends all tests after the lease is lost. Returns when all sockets are closed."""
        deadline = monotonic() + _CLOSE_LIMIT_S
        for test in self._active():
            if not test.wait_closed(max(0.0, deadline - monotonic())):
                raise AssertionError("a connection test outlived its lease")

    def begin_stop(self) -> None:
        """Stops claiming, and leaves unfinished tests to other workers."""
        self._stopping.set()
        self.wake()
        for test in self._active():
            test.look()

    def stop(self, timeout_s: float) -> None:
        """Ends the threads; call `begin_stop` before."""
        deadline = monotonic() + timeout_s
        self._thread.join(timeout_s)
        for test in self._active():
            test.join(max(0.0, deadline - monotonic()))

    # The runner's own thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._claim()
            except DatabaseError as error:
                log.debug("cannot claim connection tests (%s); retrying", error)
            self._woken.wait(self._poll_interval_s)

    def _claim(self) -> None:
        worker = self._lease.worker
        if worker is None:
            return
        repository = ConnectionTestClaimRepository(self._database, worker)
        places = CONNECTION_TESTS_PER_WORKER - len(self._active())
        for claim in repository.claim(places) if places > 0 else []:
            self._begin(worker, claim)
        # Last, because no client waits for it.
        repository.prune()

    def _begin(self, worker: WorkerIdentity, claim: ClaimedConnectionTest) -> None:
        def finished(test: ConnectionTest, result: dict[str, Any] | None) -> None:
            self._finish(worker, test, result)

        try:
            test = ConnectionTest(
                claim,
                self._context,
                lambda: self._lease.holds(worker),
                self._stopping.is_set,
                finished,
            )
            with self._lock:
                test.start()
                self._running.add(test)
        except (OSError, NoThreadError) as error:
            log.warning(
                "cannot start a connection test: %s; its client is told to try again; raise this worker's"
                " limits on files and threads, see docs/runbook.md#worker-full",
                describe(error),
                extra={"connection_test": str(claim.id)},
            )
            steps = StepRecorder(monotonic)
            steps.fail(NO_CAPACITY)
            ConnectionTestClaimRepository(self._database, worker).finish(claim.id, steps.report())

    def _active(self) -> list[ConnectionTest]:
        with self._lock:
            return list(self._running)

    # A test's own thread.

    def _finish(self, worker: WorkerIdentity, test: ConnectionTest, result: dict[str, Any] | None) -> None:
        try:
            repository = ConnectionTestClaimRepository(self._database, worker)
            if result is not None:
                repository.finish(test.id, result)
            elif self._lease.holds(worker):
                repository.release(test.id)
        except DatabaseError as error:
            log.warning(
                "cannot write the result of a connection test: %s; its client is told to try again; check"
                " PostgreSQL, see docs/runbook.md#database-away",
                error,
                extra={"connection_test": str(test.id)},
            )
        finally:
            with self._lock:
                self._running.discard(test)
            self.wake()
