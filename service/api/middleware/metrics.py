"""Metrics of the API's processes, for Prometheus: GET /metrics answers for all of them.

prometheus-client keeps each process's numbers in files of `directory()`. Where they cannot be kept, numbers
are lost, and nothing else.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue, MutexValue

from service.api.middleware.fleet_metrics import FleetMetrics
from service.api.middleware.multiprocess_metrics import (
    directory,
    give_up_files,
    has_files,
    identity,
    keep_files,
)
from service.api.services.context import services_of
from service.database.engine.pool import Database, PoolStats
from service.errors import MetricsUnavailableError

log = logging.getLogger("millgate.api")

BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Labels come from short lists only: a client that makes up methods and paths makes up no series.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED_ROUTE = "none"
# No request fails over a number, whatever the library raises when its files are gone.
NOT_COUNTED = (
    "could not record a metric; requests go on; check the space in the directory of TMPDIR, see"
    " docs/runbook.md#metrics-not-recorded"
)
_EXTENSION = "millgate-metrics"


class ApiMetrics:
    """What an API process counts. Any thread may call."""

    def __init__(self, database: Database) -> None:
        self._is_shared = directory() is not None
        values.ValueClass = _shared_value() if self._is_shared else MutexValue
        self.registry = CollectorRegistry()
        self._durations = Histogram(
            "millgate_http_request_duration_seconds",
            "How long requests took, from their headers to their answer.",
            ["method", "route", "status"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._connections = Gauge(
            "millgate_db_pool_connections",
            "Connections to the database, as of each process's last second.",
            ["use"],
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self._clients = self._gauge("connections", "Connections that clients have open.")
        self._clients_limit = self._gauge("connections_limit", "Connections that clients may have open.")
        self._taken = self._counter("requests", "Connections that were asked for.")
        self._queued = self._counter("queued", "Connections that had to be waited for.")
        self._waited = self._counter("wait_seconds", "How long connections were waited for.")
        self._failed = self._counter("errors", "Connections that were waited for in vain.")
        self._refused = self._counter("connection_errors", "New connections that PostgreSQL did not take.")
        self._fleet = CollectorRegistry()
        self._fleet.register(FleetMetrics(database))

    def observe_request(self, method: str, route: str | None, status: int, duration_s: float) -> None:
        """Counts an answer."""
        if not self._can_count():
            return
        kind = method if method in METHODS else "other", route or UNMATCHED_ROUTE, status
        try:
            series = self._series.get(kind)
            if series is None:
                series = self._series[kind] = self._durations.labels(kind[0], kind[1], str(status))
            series.observe(duration_s)
        except Exception:
            log.warning(NOT_COUNTED, exc_info=True)
            give_up_files()

    def record_pool_stats(self, use: PoolStats) -> None:
        """Counts what the pool did since it was last asked."""
        if self._is_shared:
            keep_files()
        if not self._can_count():
            return
        try:
            self._connections.labels("in_use").set(use.in_use)
            self._connections.labels("free").set(use.free)
            for counter, more in (
                (self._taken, use.requests),
                (self._queued, use.queued),
                (self._waited, use.waited_s),
                (self._failed, use.errors),
                (self._refused, use.connection_errors),
            ):
                if more:
                    counter.inc(more)
        except Exception:
            log.warning(NOT_COUNTED, exc_info=True)
            give_up_files()

    def count_clients(self, count: int, limit: int) -> None:
        """Notes how many clients this process has, and how many it may have."""
        if not self._can_count():
            return
        try:
            self._clients.set(count)
            self._clients_limit.set(limit)
        except Exception:
            log.warning(NOT_COUNTED, exc_info=True)
            give_up_files()

    def text(self) -> bytes:
        """All processes' numbers and the fleet's, in Prometheus's format. Raises MetricsUnavailableError."""
        return self._own_text() + generate_latest(self._fleet)

    def _own_text(self) -> bytes:
        if not self._is_shared:
            return generate_latest(self.registry)
        merged = CollectorRegistry()
        try:
            _Collector(merged, directory())  # type: ignore[no-untyped-call]
            return generate_latest(merged)
        except (OSError, ValueError, RuntimeError) as error:
            # The directory is gone, or a file of it is or is not one of prometheus-client's.
            log.warning(
                "cannot read the metrics: %s; /metrics is answered 503; check the directory of TMPDIR, see"
                " docs/runbook.md#metrics-not-recorded",
                error,
            )
            raise MetricsUnavailableError from error

    def _can_count(self) -> bool:
        return not self._is_shared or has_files() or keep_files()

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"millgate_http_{name}", what, multiprocess_mode="livesum", registry=self.registry)

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(f"millgate_db_pool_{name}", what, registry=self.registry)


def _shared_value() -> type[MutexValue]:
    kind: type[MutexValue] = MultiProcessValue(identity)  # type: ignore[no-untyped-call]
    return kind


class _Collector(MultiProcessCollector):
    """Adds up the processes' files."""

    def collect(self) -> Iterable[Metric]:
        """Leaves out a file that a process has just made: its first byte is yet to be written."""
        files = [str(path) for path in Path(self._path).glob("*.db") if _has_begun(path)]
        merged: Iterable[Metric] = self.merge(files)  # type: ignore[no-untyped-call]
        return merged


def _has_begun(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # its process ended meanwhile
        return False


def install_metrics(app: Flask, database: Database) -> None:
    """Counts every request of an application. Call it after `log_requests`, which notes when one began."""
    metrics = ApiMetrics(database)
    app.extensions[_EXTENSION] = metrics

    def finish(response: Response) -> Response:
        asked = request._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 (at once: see request_log)
        route = None if asked.url_rule is None else asked.url_rule.rule
        metrics.observe_request(asked.method, route, response.status_code, perf_counter() - g.started)
        return response

    app.after_request(finish)


def metrics_of(app: Flask) -> ApiMetrics:
    """What this application counts."""
    attached = app.extensions[_EXTENSION]
    assert isinstance(attached, ApiMetrics)  # noqa: S101
    return attached


def record_pool_stats(app: Flask) -> None:
    """Counts what its pool did meanwhile: now and then, for it takes as long as to count a request."""
    metrics_of(app).record_pool_stats(services_of(app).database.pop_stats())


def count_clients(app: Flask, count: int, limit: int) -> None:
    """Notes how many clients this process has, and how many it may have."""
    metrics_of(app).count_clients(count, limit)
