"""One worker: wires its parts, starts them, and stops them in order."""

import logging
import threading
from collections.abc import Callable
from time import monotonic
from uuid import UUID

from service import __version__
from service.crypto import Sealer
from service.database.engine.first_connection import check_first
from service.database.engine.pool import Database
from service.database.observed.workers import WorkerRepository
from service.database.security.key_checks import check_key
from service.errors import DatabaseError, DatabaseUnavailableError
from workers.config import WorkerConfig
from workers.gateway_manager.capacity import Capacity
from workers.gateway_manager.change_listener import ChangeListener
from workers.gateway_manager.connection.connection import ConnectionContext
from workers.gateway_manager.connection.handshake_limiter import HandshakeLimiter
from workers.gateway_manager.connection.recovery_groups import RecoveryGroups
from workers.gateway_manager.connection_tests.connection_test import (
    ConnectionTestContext,
    connection_test_settings,
)
from workers.gateway_manager.connection_tests.runner import ConnectionTestRunner
from workers.gateway_manager.lease.lease import Lease
from workers.gateway_manager.manager import GatewayConnectionManager
from workers.gateway_manager.registry import GatewayRegistry
from workers.gateway_manager.reporter import StatusReporter
from workers.gateway_manager.retention import Pruner
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.resolver import Resolver
from workers.gateway_manager.websocket.waker import WakerFactory
from workers.metrics import WorkerMetrics
from workers.metrics_server import MetricsServer
from workers.system_limits import read_system_capacity

log = logging.getLogger("millgate.worker")

STARTUP_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 6.0
# A lookup may hang for longer than the test that needs it.
MAX_TEST_LOOKUPS = 64


class Worker:
    """Everything that runs in a worker process, started and stopped in order."""

    def __init__(
        self, config: WorkerConfig, publish_deadline: Callable[[float | None], None] = lambda _: None
    ) -> None:
        """`publish_deadline` receives the time until which sockets may be open; see `Lease`."""
        self._database_config = config.database
        self._database = Database(config.database, "millgate-worker")
        self._sealer = Sealer(config.encryption_key, config.old_encryption_keys)
        self._registry = GatewayRegistry()
        self._wakers = WakerFactory()
        self._system = read_system_capacity()
        self._capacity = Capacity(self._system.gateways)
        self._recovery = RecoveryGroups()
        self._resolver = Resolver()
        # A resolver of their own: names that do not resolve delay connection tests only.
        self._test_resolver = Resolver(MAX_TEST_LOOKUPS)
        self._lease = Lease(
            database=config.database,
            settings=config.lease,
            version=__version__,
            gateways_held=lambda: len(self._registry),
            capacity=self._capacity.current,
            on_acquired=self._lease_acquired,
            on_lost=self._lease_lost,
            publish_deadline=publish_deadline,
        )
        self._manager = GatewayConnectionManager(
            self._database,
            self._lease,
            ConnectionContext(
                registry=self._registry,
                limiter=HandshakeLimiter(config.max_handshakes),
                dialer=Dialer(self._resolver, config.session, config.networks, config.tls),
                wakers=self._wakers,
                sealer=self._sealer,
                session=config.session,
                backoff=config.backoff,
                recovery=self._recovery,
                on_finished=self._connection_finished,
                on_exhausted=self._system_exhausted,
            ),
            self._capacity,
            config.poll_interval_s,
        )
        self._reporter = StatusReporter(
            database=self._database,
            registry=self._registry,
            worker=lambda: self._lease.worker,
            interval_s=config.report_interval_s,
            freshness_s=config.freshness_s,
            on_released=self._manager.released,
            take_recoveries=self._recovery.take_started,
        )
        self._connection_tests = self._make_test_runner(config)
        self._listener = ChangeListener(
            config.database,
            {"gateways_changed": self._manager.wake, "connection_tests": self._connection_tests.wake},
            {"gateways_returning": self._recovery.recovery_started_elsewhere},
        )
        self._pruner = Pruner(self._database, lambda: self._lease.worker, config.event_retention_days)
        self._metrics = self._make_metrics_server(config)
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._drain_timeout_s = config.drain_timeout_s
        self.has_crashed = False
        """Whether a thread crashed: the worker can no longer be trusted and has to stop."""

    def run(self) -> None:
        """Blocks until `request_stop`. Raises ConfigurationError when the key is not the stored one.

        Raises NoThreadError when the system cannot start the worker's own threads.
        """
        try:
            self._check_key()
            self._database.open()
            self._log_start()
            if self._metrics is not None:
                self._metrics.start()
            try:
                for part in (
                    self._lease,
                    self._reporter,
                    self._connection_tests,
                    self._listener,
                    self._pruner,
                ):
                    part.start()
                self._manager.run(self._stopping)
                self._drain()
            finally:
                self._stop()
        finally:
            self._resolver.close()
            self._test_resolver.close()
            self._database.close()

    def request_stop(self) -> None:
        """Makes `run` return soon; a second call skips the drain. Takes locks, so not for signal handlers."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        self._manager.wake()

    def report_crash(self, crash: threading.ExceptHookArgs) -> None:
        """Replaces `threading.excepthook`: a thread that crashes stops the worker."""
        name = crash.thread.name if crash.thread else "unknown"
        log.critical(
            "thread %s crashed: this worker stops so that another takes over; start it again and report the"
            " traceback, see docs/runbook.md#internal-errors",
            name,
            exc_info=crash.exc_value,
        )
        self.has_crashed = True
        self.request_stop()

    def _log_start(self) -> None:
        about = {"version": __version__, "capacity": self._system.gateways, "limit": self._system.limit}
        log.info("worker starting", extra=about)

    def _check_key(self) -> None:
        check_first(
            self._database_config,
            "millgate-worker-start",
            lambda executor: check_key(executor, self._sealer),
            wait_s=STARTUP_TIMEOUT_S,
            say=lambda reason: log.warning(
                "%s; check PostgreSQL and DATABASE_URL, see docs/runbook.md#database-away", reason
            ),
            pause=self._stopping.wait,
        )

    def _drain(self) -> None:
        """Releases gateways to other workers while everything still works."""
        gateways = len(self._registry)
        log.info("worker stopping: handing over %d gateways", gateways, extra={"gateways": gateways})
        self._lease.drain()
        self._connection_tests.begin_stop()
        if not self.has_crashed:
            self._manager.drain(self._drain_timeout_s, self._hurry)

    def _stop(self) -> None:
        started_at = monotonic()
        self._lease.drain()
        self._connection_tests.begin_stop()
        if not self._manager.stop_all(STOP_TIMEOUT_S):
            log.error(
                "some sessions did not close within %.0f s; the end of this process closes their sockets; if"
                " that happens again, check this machine's load, see docs/runbook.md#worker-ended",
                STOP_TIMEOUT_S,
            )
        self._connection_tests.stop(timeout_s=1)
        self._pruner.stop(timeout_s=1)
        self._listener.stop(timeout_s=1)
        self._reporter.stop(timeout_s=1)
        self._end_lease()
        self._lease.stop(timeout_s=1)
        if self._metrics is not None:
            self._metrics.stop(timeout_s=1)
        log.info("worker stopped", extra={"seconds": round(monotonic() - started_at, 3)})

    def _end_lease(self) -> None:
        """Writes the last reports and ends the lease, so that other workers can take over immediately."""
        worker = self._lease.worker
        if worker is None:
            return
        try:
            if not self._reporter.flush():
                raise DatabaseUnavailableError("cannot write the last states")
            with self._database.transaction() as transaction:
                WorkerRepository(transaction).end(worker)
        except DatabaseError as error:
            log.warning(
                "cannot end the lease: %s; other workers take over when it expires; check PostgreSQL, see"
                " docs/runbook.md#database-away",
                error,
            )

    def _make_metrics_server(self, config: WorkerConfig) -> MetricsServer | None:
        if not config.metrics_port:
            return None
        metrics = WorkerMetrics(
            registry=self._registry,
            lease_remaining_s=self._lease.remaining_s,
            capacity=self._capacity.current,
            is_database_up=lambda: self._lease.is_answered,
            pool_use=self._database.stats,
        )
        return MetricsServer(
            config.metrics_host, config.metrics_port, metrics.text, config.metrics_hosts.include
        )

    def _make_test_runner(self, config: WorkerConfig) -> ConnectionTestRunner:
        settings = connection_test_settings(config.session)
        dialer = Dialer(self._test_resolver, settings, config.networks, config.tls)
        context = ConnectionTestContext(dialer, self._wakers, self._sealer, settings)
        return ConnectionTestRunner(self._database, self._lease, context, config.poll_interval_s)

    def _lease_acquired(self) -> None:
        self._manager.wake()
        self._connection_tests.wake()

    def _lease_lost(self) -> None:
        self._manager.abort_all()
        self._connection_tests.close_all()
        self._manager.wake()

    def _system_exhausted(self, what: str) -> None:
        self._manager.reduce_capacity(what)

    def _connection_finished(self, gateway_id: UUID) -> None:
        self._manager.forget(gateway_id)
        self._manager.wake()
