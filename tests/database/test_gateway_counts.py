"""The counters of gateways are correct after any write, and no writer waits for another."""

import random
import threading
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from service.config import DatabaseConfig
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateway_lists import GatewayFilter
from service.database.desired.gateways import GatewayRepository
from service.database.desired.restore import RestorationRepository
from service.database.desired.values import GatewayChanges, NewFactory, NewGateway
from service.database.engine.ids import new_id
from service.database.engine.paging import MOST_COUNTED, PageStart, Total
from service.database.engine.pool import ConnectionExecutor, connect
from service.errors import GatewayNotFoundError

WAIT_S = 20
WRITERS = 4
STEPS = 60
FIRST_PAGE = PageStart()
INSERT_MANY = """
    INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)
    SELECT %(factory_id)s, %(prefix)s || n, 'Gateway ' || n, 'ws://x', 'a@b', repeat('x', 40)::bytea
    FROM generate_series(1, %(count)s) AS n
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """Open a connection as the service does."""
    with connect(config_for(database_url), "test") as connection:
        yield connection


def config_for(url: str) -> DatabaseConfig:
    """With limits that nothing here comes near."""
    return DatabaseConfig(url, 1, 1, WAIT_S, WAIT_S, WAIT_S)


def create(connection: psycopg.Connection, factory_id: UUID) -> UUID:
    """A gateway."""
    row_id = new_id()
    gateway = NewGateway(row_id, factory_id, str(row_id), "x", "ws://x", "a@b", b"s" * 40)
    return GatewayRepository(ConnectionExecutor(connection)).create(gateway).id


def assert_kept(connection: psycopg.Connection) -> None:
    """Assert that the counters are correct, in total and per factory."""
    gateways = GatewayRepository(ConnectionExecutor(connection))
    counted = connection.execute(
        "SELECT f.id, count(g.id) FROM factories AS f LEFT JOIN gateways AS g"
        " ON f.id = g.factory_id AND g.deleted_at IS NULL GROUP BY f.id"
    ).fetchall()
    assert gateways.count() == sum(count for _, count in counted)
    assert {row_id: gateways.count(GatewayFilter(factory_id=row_id)) for row_id, _ in counted} == dict(
        counted
    )


def test_the_count_is_correct_after_every_change(connection: psycopg.Connection) -> None:
    executor = ConnectionExecutor(connection)
    factories, gateways = FactoryRepository(executor), GatewayRepository(executor)
    one, other = (factories.create(NewFactory(name)).id for name in ("one", "other"))
    ids = [create(connection, one) for _ in range(3)]
    assert gateways.count(GatewayFilter(factory_id=one)) == 3
    connection.execute(INSERT_MANY, {"factory_id": other, "prefix": "N-", "count": 1000})
    assert (gateways.count(), gateways.count(GatewayFilter(factory_id=other))) == (1003, 1000)
    for change in (
        lambda: gateways.update(ids[0], GatewayChanges(factory_id=other)),
        lambda: gateways.update(ids[1], GatewayChanges(name="y", sealed_password=b"t" * 40)),
        lambda: gateways.soft_delete(ids[0]),
        lambda: RestorationRepository(executor).restore_gateway(ids[0]),
        lambda: factories.soft_delete(other),
        lambda: RestorationRepository(executor).restore_factory(other),
        lambda: connection.execute("DELETE FROM gateways WHERE device_id = 'N-1'"),
        lambda: connection.execute("UPDATE gateways SET factory_id = %s, deleted_at = now()", (one,)),
    ):
        with connection.transaction():
            change()
        assert_kept(connection)
    assert gateways.count() == 0
    # These triggers run even in a session that turns off triggers to load data.
    connection.execute("SET session_replication_role = replica")
    connection.execute(INSERT_MANY, {"factory_id": one, "prefix": "R-", "count": 10})
    connection.execute("RESET session_replication_role")
    assert gateways.count(GatewayFilter(factory_id=one)) == 10
    connection.execute("TRUNCATE gateways CASCADE")
    assert_kept(connection)


def test_a_rolled_back_change_is_not_counted(connection: psycopg.Connection) -> None:
    factory_id = FactoryRepository(ConnectionExecutor(connection)).create(NewFactory("x")).id
    create(connection, factory_id)
    with connection.transaction(force_rollback=True):
        create(connection, factory_id)
        assert_kept(connection)
    assert GatewayRepository(ConnectionExecutor(connection)).count() == 1


def test_a_writer_waits_for_no_uncommitted_one(connection: psycopg.Connection, database_url: str) -> None:
    factory_id = FactoryRepository(ConnectionExecutor(connection)).create(NewFactory("x")).id
    create(connection, factory_id)
    with connect(config_for(database_url), "test") as another:
        another.execute("SET lock_timeout = '1ms'")
        with connection.transaction():
            create(connection, factory_id)
            create(another, factory_id)
            with another.transaction():
                create(another, factory_id)
    assert_kept(connection)


def test_the_count_is_correct_with_many_concurrent_writers(
    connection: psycopg.Connection, database_url: str
) -> None:
    factories = FactoryRepository(ConnectionExecutor(connection))
    ids = [factories.create(NewFactory(f"Mill {number}")).id for number in range(3)]
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        mine: list[UUID] = []
        try:
            with connect(config_for(database_url), "test") as own:
                gateways = GatewayRepository(ConnectionExecutor(own))
                for _ in range(STEPS):
                    if not mine or chance.random() < 0.5:
                        mine.append(create(own, chance.choice(ids)))
                    elif chance.random() < 0.5:
                        gateways.update(chance.choice(mine), GatewayChanges(factory_id=chance.choice(ids)))
                    else:
                        gateways.soft_delete(mine.pop())
        except (psycopg.Error, GatewayNotFoundError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert_kept(connection)
    # One row per concurrent writer, not one per change.
    (rows,) = connection.execute("SELECT count(*) FROM gateway_counts").fetchone() or (0,)
    assert rows <= WRITERS * (len(ids) + 1)


@pytest.mark.req("GATEWAY-02")
def test_a_total_is_exact_where_it_is_counted_and_limited_elsewhere(connection: psycopg.Connection) -> None:
    executor = ConnectionExecutor(connection)
    gateways = GatewayRepository(executor)
    factory_id = FactoryRepository(executor).create(NewFactory("x")).id
    wanted = GatewayFilter(desired_state="connected")
    connection.execute(INSERT_MANY, {"factory_id": factory_id, "prefix": "A-", "count": MOST_COUNTED})
    assert gateways.list_json(FIRST_PAGE, 1, wanted).total == Total(MOST_COUNTED)
    create(connection, factory_id)
    create(connection, factory_id)
    assert gateways.list_json(FIRST_PAGE, 1, wanted).total == Total(MOST_COUNTED, is_exact=False)
    assert gateways.list_json(PageStart(MOST_COUNTED * 2), 1, wanted).total.is_exact is False
    for which in (GatewayFilter(), GatewayFilter(factory_id=factory_id)):
        assert gateways.list_json(FIRST_PAGE, 1, which).total == Total(MOST_COUNTED + 2)
        assert gateways.list_json(PageStart(MOST_COUNTED * 2), 1, which).total == Total(MOST_COUNTED + 2)
