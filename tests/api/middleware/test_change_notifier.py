"""Workers are notified of the API's writes: after the commit, soon, and once for many."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import psycopg
import pytest

from service.api.services.change_notifier import ChangeNotifier
from service.api.services.context import services_of
from service.app import create_app
from service.config import ApiConfig
from service.database.engine.pool import Database
from service.environment import Environment
from tests.support.api.notifications import WAIT_S, notifications_until_now
from tests.support.api_server import KEY, ApiServer, gateway_body
from tests.support.waiting import wait_until

NEVER_S = 3600.0
POSTS = 50


@pytest.fixture
def listener(database_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection that receives the workers' notifications."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("LISTEN gateways_changed")
        yield connection


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Yield a pool like the API's."""
    database = Database(config_for(database_url).database, "test", defer_notify=True)
    database.open()
    try:
        yield database
    finally:
        database.close()


def config_for(url: str) -> ApiConfig:
    """Return the API's settings."""
    return ApiConfig.read(Environment({"DATABASE_URL": url, "ENCRYPTION_KEY": KEY}))


def await_one(listener: psycopg.Connection) -> None:
    """Wait for the next notification."""
    heard = list(listener.notifies(timeout=WAIT_S, stop_after=1))
    assert len(heard) == 1, "workers are notified"


def test_a_write_wakes_workers(start_api: Callable[..., ApiServer], listener: psycopg.Connection) -> None:
    api = start_api()
    factory = api.factory()
    await_one(listener)
    gateway = api.gateway(factory["id"])
    await_one(listener)
    assert api.call("DELETE", f"/api/gateways/{gateway['id']}").status == 204
    await_one(listener)
    # Neither reads nor rejected writes notify, and the process sends pending notifications when it ends.
    assert api.call("GET", "/api/gateways").status == 200
    assert api.call("POST", "/api/gateways", {}).status == 400
    assert api.stop() == 0
    assert notifications_until_now(listener) == 0


def test_many_writes_wake_workers_less_often(
    start_api: Callable[..., ApiServer], listener: psycopg.Connection
) -> None:
    api = start_api()
    factory = api.factory()
    await_one(listener)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: api.gateway(factory["id"], f"CTC-{number}"), range(POSTS)))
    assert api.stop() == 0
    assert 0 < notifications_until_now(listener) < POSTS


def test_the_sessions_of_the_api_leave_notifying_to_the_change_notifier(
    database_url: str, listener: psycopg.Connection
) -> None:
    app = create_app(config_for(database_url))
    services, client = services_of(app), app.test_client()

    def write() -> int:
        factory = client.post("/api/factories", json={"name": "Here"}).get_json()
        return client.post("/api/gateways", json=gateway_body(factory["id"])).status_code

    services.database.open()
    try:
        # A request sets a deadline in its context, which must not apply to later tests.
        assert copy_context().run(write) == 201
        assert notifications_until_now(listener) == 0, "not by the trigger"
        services.change_notifier.start()
        await_one(listener)
    finally:
        services.change_notifier.stop(WAIT_S)
        services.database.close()
    assert notifications_until_now(listener) == 0, "once for all writes"


def test_pending_notifications_are_sent_at_the_stop(database: Database, listener: psycopg.Connection) -> None:
    change_notifier = ChangeNotifier(database, interval_s=NEVER_S)
    change_notifier.start()
    change_notifier.notify()
    await_one(listener)
    for _ in range(POSTS):
        change_notifier.notify()
    assert notifications_until_now(listener) == 0, "not before the interval is over"
    change_notifier.stop(WAIT_S)
    assert notifications_until_now(listener) == 1


def test_an_idle_change_notifier_sends_nothing(database: Database, listener: psycopg.Connection) -> None:
    change_notifier = ChangeNotifier(database)
    change_notifier.start()
    change_notifier.stop(WAIT_S)
    assert notifications_until_now(listener) == 0


def test_the_change_notifier_recovers_with_the_database(
    database_url: str, listener: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "millgate.api")
    database = Database(config_for(database_url).database, "test", defer_notify=True)
    change_notifier = ChangeNotifier(database)
    change_notifier.start()
    try:
        change_notifier.notify()
        wait_until(lambda: "could not notify workers" in caplog.text, WAIT_S, "the change notifier to fail")
        database.open()
        change_notifier.notify()
        await_one(listener)
    finally:
        change_notifier.stop(WAIT_S)
        database.close()
