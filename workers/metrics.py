"""A worker's metrics for Prometheus, read from its current state at each scrape."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.database.engine.pool import PoolStats
from service.gateway_states import ReasonCode, State
from workers.gateway_manager.registry import GatewayRegistry


@dataclass(frozen=True)
class WorkerMetrics(Collector):
    """A worker's metrics. Any thread may collect. Labels: states and reasons only."""

    registry: GatewayRegistry
    lease_remaining_s: Callable[[], float]
    capacity: Callable[[], int]
    is_database_up: Callable[[], bool]
    pool_use: Callable[[], PoolStats]

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        collected = CollectorRegistry()
        collected.register(self)
        ProcessCollector(registry=collected)
        return generate_latest(collected)

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield from self._gateways()
        yield from self._pool()
        yield GaugeMetricFamily(
            "millgate_report_delay_seconds",
            "Age of the oldest transition that is not written down yet; 0 without one.",
            self.registry.oldest_unwritten_s(),
        )
        yield GaugeMetricFamily(
            "millgate_lease_margin_seconds",
            "How long sockets may stay open without another renewal; 0 without a lease.",
            self.lease_remaining_s(),
        )
        yield GaugeMetricFamily(
            "millgate_database_up", "1 if PostgreSQL answers, else 0.", int(self.is_database_up())
        )

    def _gateways(self) -> Iterator[Metric]:
        held = GaugeMetricFamily("millgate_gateways", "Gateways held, by state.", labels=["state"])
        states = self.registry.count_states()
        for state in State:
            held.add_metric([state.value], states.get(state, 0))
        yield held
        yield GaugeMetricFamily(
            "millgate_gateway_capacity", "Gateways that the system's limits leave room for.", self.capacity()
        )
        counters = self.registry.counters()
        yield CounterMetricFamily("millgate_attempts", "Attempts to connect.", counters.attempts)
        yield CounterMetricFamily("millgate_connects", "Sessions that were logged in.", counters.connects)
        yield CounterMetricFamily("millgate_messages", "Messages received.", counters.messages)
        failures = CounterMetricFamily(
            "millgate_failures", "Attempts and sessions that failed, by reason.", labels=["reason"]
        )
        # From zero on: Prometheus sees no increase in a series that begins with its first failure.
        for code in ReasonCode:
            failures.add_metric([code.value], counters.failures[code])
        yield failures

    def _pool(self) -> Iterator[Metric]:
        use = self.pool_use()
        connections = GaugeMetricFamily(
            "millgate_db_pool_connections", "Connections to the database.", labels=["use"]
        )
        connections.add_metric(["in_use"], use.in_use)
        connections.add_metric(["free"], use.free)
        yield connections
        for name, what, value in (
            ("requests", "Connections that were asked for.", use.requests),
            ("queued", "Connections that had to be waited for.", use.queued),
            ("wait_seconds", "How long connections were waited for.", use.waited_s),
            ("errors", "Connections that were waited for in vain.", use.errors),
            ("connection_errors", "New connections that PostgreSQL did not take.", use.connection_errors),
        ):
            yield CounterMetricFamily(f"millgate_db_pool_{name}", what, value)
