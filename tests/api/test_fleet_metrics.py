"""The API's metrics of the fleet and the database, also while that is unreachable or busy."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import psycopg

from devstack.postgres.server import EmbeddedPostgres
from tests.support.api.metrics import Series, read
from tests.support.api.reports import observe, worker
from tests.support.api_server import ApiServer
from tests.support.waiting import wait_until

STATES = 8


def value(series: Series, name: str, **labels: str) -> float | None:
    """Return the series' value; None if it is absent."""
    return series.get((f"millgate_{name}", frozenset(labels.items())))


def test_it_counts_the_fleet(start_api: Callable[..., ApiServer], database_url: str) -> None:
    """A factory is down if some of its gateways are wanted, none is connected, and none is unknown."""
    api = start_api()
    with ExitStack() as sessions:
        database = sessions.enter_context(psycopg.connect(database_url, autocommit=True))
        live, lost = worker(api, sessions, "60 s"), worker(api, sessions, "-1 s")
        fleet: dict[str, list[tuple[tuple[str, int] | None, str]]] = {
            "up": [(live, "connected"), (live, "retrying")],
            "down": [(live, "retrying"), (live, "auth_failed")],
            "nobody's": [(None, "disconnected")],
            "cannot be known": [(lost, "connected"), (live, "retrying")],
            "empty": [],
        }
        for name, states in fleet.items():
            factory = api.factory(name=name)
            for number, (holder, state) in enumerate(states):
                observe(database, api.gateway(factory["id"], f"{name}-{number}"), holder, state)
        for name in ("not wanted", "deleted"):
            gateway = api.gateway(api.factory(name=name)["id"], name)
            api.call("POST", f"/api/gateways/{gateway['id']}/disconnect")
        api.call("DELETE", f"/api/gateways/{gateway['id']}")
        series = read(api)
    assert value(series, "database_up") == 1
    assert value(series, "fleet_workers") == 1
    assert value(series, "fleet_factories_down") == 2
    counts = {
        "connected": 1,
        "retrying": 3,
        "auth_failed": 1,
        "disconnected": 2,
        "unknown": 1,
        "connecting": 0,
    }
    assert {state: value(series, "fleet_gateways", state=state) for state in counts} == counts
    assert len([name for name, _ in series if name == "millgate_fleet_gateways"]) == STATES


def test_without_gateways_all_metrics_are_zero(api: ApiServer) -> None:
    series = read(api)
    assert value(series, "fleet_factories_down") == 0
    assert value(series, "fleet_gateways", state="unknown") == 0


def test_without_its_database_it_shows_that_and_no_stale_values(
    start_api: Callable[..., ApiServer], own_postgres: EmbeddedPostgres
) -> None:
    api = start_api(own_postgres.url())
    assert value(read(api), "database_up") == 1
    own_postgres.stop()
    wait_until(lambda: value(read(api), "database_up") == 0, 20, "the metric to show it")
    series = read(api)
    assert value(series, "fleet_workers") is None
    assert value(series, "fleet_gateways", state="connected") is None
    own_postgres.start()
    wait_until(lambda: value(read(api), "fleet_workers") == 0, 20, "the fleet to be read again")


def test_an_exhausted_pool_does_not_count_as_a_database_outage(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api(DB_POOL_MAX="1", DB_POOL_TIMEOUT_S="0.2")
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE factories")
        asking = threading.Thread(target=api.call, args=("GET", "/api/factories"))
        asking.start()
        waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'factories'::regclass"
        with psycopg.connect(database_url, autocommit=True) as watching:
            wait_until(lambda: watching.execute(waits).fetchone() is not None, 10, "the request to wait")
        series = read(api)
        other.rollback()
        asking.join()
    assert value(series, "fleet_workers") is None
    assert value(series, "database_up") == 1
    errors = "db_pool_errors_total"
    wait_until(lambda: (value(read(api), errors) or 0) >= 1, 10, "the error to be counted")


def test_it_counts_its_clients(start_api: Callable[..., ApiServer]) -> None:
    api = start_api()
    wait_until(lambda: (value(read(api), "http_connections_limit") or 0) > 0, 10, "the limit")
    with ExitStack() as clients:
        for _ in range(5):
            clients.enter_context(socket.create_connection(("127.0.0.1", api.port)))
        wait_until(lambda: (value(read(api), "http_connections") or 0) >= 5, 10, "clients to be counted")
    wait_until(lambda: (value(read(api), "http_connections") or 0) < 5, 10, "them to end")
