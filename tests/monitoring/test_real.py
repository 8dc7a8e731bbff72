"""Rules and dashboard with a real API, worker and Prometheus: metrics exist, and faults fire alerts."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.postgres.server import EmbeddedPostgres, free_port
from simulator import Credentials, Site
from tests.monitoring.files import alerts, groupings_in, metrics_in, needs_prometheus, targets
from tests.monitoring.prometheus import LIMIT_S, Prometheus
from tests.support.api_server import ApiServer
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess
from tests.support.worker_settings import EMAIL, PASSWORD

GATEWAYS = 3
# A lease as in production, because its margin has an alert.
LEASE = {"LEASE_S": "8", "HEARTBEAT_S": "2", "LEASE_MARGIN_S": "1"}
OF_PROMETHEUS = {"job", "instance"}
Labels = dict[str, set[str]]


@dataclass(frozen=True)
class System:
    """An API, a worker and connected gateways."""

    testbed: WorkerTestBed
    site: Site
    api: ApiServer
    worker: WorkerProcess
    worker_port: int
    directory: Path

    def metrics(self) -> dict[str, Labels]:
        """Return the metrics of API and worker: by metric, its labels and their values."""
        found: dict[str, Labels] = {}
        for port in (self.api.port, self.worker_port):
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as response:
                for family in text_string_to_metric_families(response.read().decode()):
                    for sample in family.samples:
                        labels = found.setdefault(sample.name, {})
                        for label, value in sample.labels.items():
                            labels.setdefault(label, set()).add(value)
        return found

    def prometheus(self) -> Prometheus:
        """Return a Prometheus for this system."""
        return Prometheus(self.directory / "prometheus", self.api.port, [self.worker_port])


@pytest.fixture
def start_system(tmp_path: Path) -> Iterator[Callable[[str], System]]:
    """Start a system on the database with this URL."""
    with ExitStack() as stack:

        def start(url: str) -> System:
            testbed = stack.enter_context(WorkerTestBed(url))
            names = [f"CTC-{number}" for number in range(GATEWAYS)]
            site = stack.enter_context(
                Site.start(names, credentials=Credentials(EMAIL, PASSWORD), one_port_each=True)
            )
            api = stack.enter_context(ApiServer(url, tmp_path / "api.log"))
            assert api.call("GET", "/api/health/ready").status == 503
            port = free_port()
            worker = WorkerProcess(url, tmp_path, {**LEASE, "METRICS_PORT": str(port)})
            stack.callback(worker.kill)
            ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
            for row_id in ids:
                testbed.wait_for_state(row_id, "connected", LIMIT_S)
            api.call("GET", "/api/events")
            return System(testbed, site, api, worker, port, tmp_path)

        yield start


@pytest.fixture
def system(start_system: Callable[[str], System], database_url: str) -> System:
    """Yield a system on a database of the run's server."""
    return start_system(database_url)


def test_every_metric_and_label_is_there(system: System) -> None:
    shown = system.metrics()
    rules = [(rule["alert"], rule["expr"], "") for rule in alerts()]
    for where, expression, legend in [*rules, *targets()]:
        labels: set[str] = set(OF_PROMETHEUS)
        for name, matchers in metrics_in(expression):
            assert name in shown or name == "up", (where, name)
            of_metric = shown.get(name, {})
            labels |= set(of_metric)
            for label, operator, value in matchers:
                if label in OF_PROMETHEUS:
                    continue
                values = of_metric.get(label, set())
                pattern = value if "~" in operator else re.escape(value)
                assert any(re.fullmatch(pattern, each) for each in values), (where, name, label, value)
        assert groupings_in(expression) | set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels, where


@needs_prometheus
def test_a_healthy_system_fills_every_panel_and_fires_nothing(system: System) -> None:
    system.testbed.add("CTC-refusing", "ws://127.0.0.1:9")
    with system.prometheus() as prometheus:
        for where, expression, _ in targets():
            wait_until(partial(prometheus.query, expression), LIMIT_S, f"{where}: {expression}")
        wait_until(lambda: prometheus.value("max(millgate_fleet_workers)") == 1, LIMIT_S, "the worker")
        assert prometheus.value('max(millgate_fleet_gateways{state="connected"})') == GATEWAYS
        prometheus.wait_until_evaluated()
        assert prometheus.firing() == set()


@needs_prometheus
def test_a_worker_that_is_killed(system: System) -> None:
    with system.prometheus() as prometheus:
        wait_until(lambda: prometheus.value("max(millgate_fleet_workers)") == 1, LIMIT_S, "the worker")
        system.worker.kill()
        prometheus.wait_until_firing("MillgateNoLiveWorker", "MillgateGatewaysUnknown", "MillgateTargetDown")
        assert "MillgateDatabaseAway" not in prometheus.firing()


@needs_prometheus
def test_a_database_that_is_stopped(
    start_system: Callable[[str], System], own_postgres: EmbeddedPostgres
) -> None:
    system = start_system(own_postgres.url())
    with system.prometheus() as prometheus:
        up = "sum(millgate_database_up)"
        wait_until(lambda: prometheus.value(up) == 2, LIMIT_S, "the database to be up")
        own_postgres.stop()
        prometheus.wait_until_firing("MillgateDatabaseAway")
        away = "count(millgate_database_up == 0)"
        wait_until(lambda: prometheus.value(away) == 2, LIMIT_S, "both to report it")
        assert not prometheus.firing() & {"MillgatePoolExhausted", "MillgateDatabaseRefusesConnections"}
        own_postgres.start()
        wait_until(lambda: "MillgateDatabaseAway" not in prometheus.firing(), LIMIT_S, "the alerts to stop")


@needs_prometheus
def test_a_site_that_goes_down(system: System) -> None:
    with system.prometheus() as prometheus:
        wait_until(lambda: prometheus.value("max(millgate_fleet_factories_down)") == 0, LIMIT_S, "all well")
        for gateway in system.site.gateways:
            gateway.stop_listening()
            gateway.drop()
        prometheus.wait_until_firing("MillgateFactoryDown", "MillgateGatewaysRefuseConnections")
        assert "MillgateNoLiveWorker" not in prometheus.firing()


@needs_prometheus
def test_logins_that_are_rejected(system: System) -> None:
    with system.prometheus() as prometheus:
        rejected = 'sum(millgate_failures_total{reason="login_rejected"})'
        wait_until(lambda: prometheus.value(rejected) == 0, LIMIT_S, "no rejection so far")
        url = system.site.gateways[0].url
        system.testbed.add_all([(f"CTC-wrong-{number}", url) for number in range(6)], password="wrong")
        prometheus.wait_until_firing("MillgateLoginsRejected")
