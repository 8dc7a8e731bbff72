"""What the database knows of the fleet, and whether it answers at all: for Prometheus."""

import threading
from collections.abc import Iterator
from time import monotonic
from typing import get_args

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.database.engine.pool import Database
from service.database.views.fleet import Fleet, read_fleet
from service.errors import DatabaseError, DatabaseUnavailableError
from service.gateway_states import ReportedState

MIN_INTERVAL_S = 5.0
"""Between two reads of a process, however often it is scraped: each is a pass over all gateways."""


class FleetMetrics(Collector):
    """Any thread may collect: one reads, the others wait for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._is_up = False
        self._fleet: Fleet | None = None

    def collect(self) -> Iterator[Metric]:
        """See Collector. While the fleet cannot be read, its metrics are absent rather than stale."""
        with self._lock:
            if self._read_at is None or monotonic() - self._read_at >= MIN_INTERVAL_S:
                self._is_up, self._fleet = self._read()
                self._read_at = monotonic()
            is_up, fleet = self._is_up, self._fleet
        yield GaugeMetricFamily("millgate_database_up", "1 if PostgreSQL answers, else 0.", int(is_up))
        if fleet is not None:
            yield from _metrics_of(fleet)

    def _read(self) -> tuple[bool, Fleet | None]:
        """Whether the database answers, and what it says."""
        try:
            return True, read_fleet(self._database)
        except DatabaseUnavailableError:
            # It may be there all the same, and the pool exhausted.
            return self._database.answers(), None
        except DatabaseError:  # It has to be migrated.
            return True, None


def _metrics_of(fleet: Fleet) -> Iterator[Metric]:
    gateways = GaugeMetricFamily("millgate_fleet_gateways", "All gateways, by state.", labels=["state"])
    for state in get_args(ReportedState):
        gateways.add_metric([state], fleet.gateways.get(state, 0))
    yield gateways
    yield GaugeMetricFamily(
        "millgate_fleet_factories_down",
        "Factories with no connected gateway, though some should be connected.",
        fleet.factories_down,
    )
    yield GaugeMetricFamily("millgate_fleet_workers", "Live workers.", fleet.live_workers)
    yield GaugeMetricFamily(
        "millgate_database_held",
        "1 if the database is a copy that was not taken over, so that no worker uses it, else 0.",
        int(fleet.is_held),
    )
