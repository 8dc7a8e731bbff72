"""JSON rendered by PostgreSQL equals that of the API's models for any row."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from service.api.schemas.factories import FactoryResponse
from service.api.schemas.gateways import GatewayResponse
from service.database.desired.factories import FactoryRepository
from service.database.desired.factory_lists import FactoryFilter
from service.database.desired.gateway_lists import GatewayFilter
from service.database.desired.gateways import GatewayRepository
from service.database.desired.values import FactoryChanges, GatewayChanges, NewFactory, NewGateway
from service.database.engine.ids import new_id
from service.database.engine.paging import PageStart
from service.database.engine.pool import ConnectionExecutor, connect
from tests.support.database_pools import config_for

FIRST_PAGE = PageStart()
SEALED = b"s" * 40
TEXTS = [
    "plain",
    'quotes " and \\ and / and </script>',
    "".join(map(chr, range(1, 0x20))) + "\x7f\x80\x9f\xad",
    "Ünïcödé, Καλημέρα, 紙, 🏭, e\u0301, \u2028 \u2029, \ufffd, \U0010ffff",
    "%(name)s $1 {} %",
]
METADATA: list[dict[str, Any]] = [
    {},
    {"texts": TEXTS},
    {text: index for index, text in enumerate(TEXTS)},
    {"null": None, "yes": True, "no": False, "empty": [[], {}, ""], "deep": {"a": [{"b": [1, {"c": None}]}]}},
    {"numbers": [0, -1, 2**63 - 1, -(2**63), 0.1, 1.5e-7, 1e18, 123456789.123456789, 5e-324, -0.0]},
    {"created_at": "2026-01-01T00:00:00+00:00", "b": 1, "a": 2, "aa": 3},
]
TIMES = [
    "2026-11-23 12:34:56.123456+00",
    "2026-11-23 12:34:56.120000+02",
    "2026-11-23 12:34:56+00",
    "1970-01-01 00:00:00+00",
    "1999-12-31 23:59:59.999999+00",
    "9999-12-31 23:59:59.999999+00",
    "0001-01-01 00:00:00+00",
]


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """Open a connection as the service does."""
    with connect(config_for(database_url), "test") as connection:
        yield connection


@pytest.fixture
def factories(connection: psycopg.Connection) -> FactoryRepository:
    """Return a repository on the test's database."""
    return FactoryRepository(ConnectionExecutor(connection))


@pytest.fixture
def gateways(connection: psycopg.Connection) -> GatewayRepository:
    """Return a repository on the test's database."""
    return GatewayRepository(ConnectionExecutor(connection))


def plain(body: bytes) -> dict[str, Any]:
    """Return a body's fields in order, with parsed times; assert the API's time format."""
    fields: dict[str, Any] = json.loads(body)
    for name, value in fields.items():
        if name.endswith("_at") and value is not None:
            assert value.endswith("Z")
            assert value[10] == "T"
            fields[name] = datetime.fromisoformat(value)
    return fields


def assert_same(rendered: bytes, model: FactoryResponse | GatewayResponse) -> None:
    """Compare field by field, including the order, also in the metadata."""
    ours, theirs = plain(rendered), plain(model.model_dump_json().encode())
    assert list(ours.items()) == list(theirs.items())
    assert json.dumps(ours["metadata"]) == json.dumps(theirs["metadata"])


def gateway_in(connection: psycopg.Connection, gateway_id: UUID) -> GatewayResponse:
    """Return the API's model of a row; its gateway_id is device_id in the schema."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            "SELECT g.*, g.device_id AS gateway_id, c.last_seen_at FROM gateways AS g"
            " LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id WHERE g.id = %s",
            [gateway_id],
        )
        return GatewayResponse.model_validate(cursor.fetchone())


def fill(connection: psycopg.Connection, factory_id: UUID) -> None:
    """Insert a gateway for each odd text, metadata and time, some deleted, some with a last contact."""
    count = max(len(TEXTS), len(METADATA), len(TIMES))
    for number in range(count):
        text, at = TEXTS[number % len(TEXTS)], TIMES[number % len(TIMES)]
        values = {
            "id": new_id(),
            "factory_id": factory_id,
            "device": f"{number} {text}",
            "text": text,
            "optional": None if number == 0 else text,
            "sealed": SEALED,
            "metadata": json.dumps(METADATA[number % len(METADATA)]),
            "at": at,
            "state": "connected" if number % 2 else "disconnected",
            "deleted_at": at if number % 3 == 2 else None,
            "seen_at": at,
        }
        connection.execute(
            """
            INSERT INTO gateways (
                id, factory_id, device_id, name, model, firmware_version, url, email, sealed_password,
                desired_state, metadata, created_at, updated_at, deleted_at, generation, version
            ) VALUES (
                %(id)s, %(factory_id)s, %(device)s, %(text)s, %(optional)s, %(optional)s, 'ws://' || %(text)s,
                %(text)s, %(sealed)s, %(state)s, %(metadata)s, %(at)s, %(at)s, %(deleted_at)s, 4711, 815
            )
            """,
            values,
        )
        if number % 2:
            connection.execute(
                "INSERT INTO gateway_connections (gateway_id, last_seen_at) VALUES (%(id)s, %(seen_at)s)",
                values,
            )


@pytest.mark.req("GATEWAY-02", "GATEWAY-03", "REPO-06")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_gateway_json_equals_the_models(
    connection: psycopg.Connection,
    factories: FactoryRepository,
    gateways: GatewayRepository,
    is_deleted: bool,
) -> None:
    fill(connection, factories.create(NewFactory("Mill")).id)
    which = GatewayFilter(is_deleted=is_deleted)
    page = gateways.list_json(FIRST_PAGE, 100, which)
    assert len(page.bodies) == page.total.rows
    assert page.total.rows >= 2
    models = [gateway_in(connection, UUID(json.loads(body)["id"])) for body in page.bodies]
    for model, body in zip(models, page.bodies, strict=True):
        assert_same(body, model)
        if not is_deleted:
            rendered = gateways.find_json(model.id)
            assert (rendered.id, rendered.version, rendered.body) == (model.id, 815, body)
    assert any(model.last_seen_at for model in models)
    assert not all(model.last_seen_at for model in models)


@pytest.mark.req("FACTORY-02", "FACTORY-03", "REPO-06")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_factory_json_equals_the_models(
    connection: psycopg.Connection, factories: FactoryRepository, is_deleted: bool
) -> None:
    for number, at in enumerate(TIMES):
        text = TEXTS[number % len(TEXTS)]
        factory = factories.create(
            NewFactory(
                text,
                location=None if number == 0 else text,
                timezone=text,
                metadata=json.dumps(METADATA[number % len(METADATA)]),
            )
        )
        connection.execute(
            "UPDATE factories SET created_at = %s, deleted_at = %s WHERE id = %s",
            (at, at if is_deleted else None, factory.id),
        )
    which = FactoryFilter(is_deleted=is_deleted)
    rows, page = factories.find_all(FIRST_PAGE, 100, which), factories.list_json(FIRST_PAGE, 100, which)
    assert len(rows) == len(page.bodies) == page.total.rows == len(TIMES)
    for row, body in zip(rows, page.bodies, strict=True):
        assert_same(body, FactoryResponse.of(row))
        if not is_deleted:
            rendered = factories.find_json(row.id)
            assert (rendered.id, rendered.version, rendered.body) == (row.id, row.version, body)


@pytest.mark.req("REPO-03", "REPO-04", "REPO-06")
def test_a_write_returns_the_same_json_as_a_read(
    connection: psycopg.Connection, factories: FactoryRepository, gateways: GatewayRepository
) -> None:
    factory = factories.create(NewFactory(TEXTS[1], metadata=json.dumps(METADATA[3])))
    assert factory == factories.find_json(factory.id)
    assert_same(factory.body, FactoryResponse.of(factories.find_by_id(factory.id)))
    changed = factories.update(factory.id, FactoryChanges(set_location=True, location=TEXTS[2]))
    assert (changed.body, changed.is_changed) == (factories.find_json(factory.id).body, True)
    assert changed.version == factory.version + 1

    text, metadata = TEXTS[1], json.dumps(METADATA[1])
    values = NewGateway(new_id(), factory.id, text, text, "ws://x", text, SEALED, metadata=metadata)
    gateway = gateways.create(values)
    assert gateway == gateways.find_json(gateway.id)
    connection.execute(
        "INSERT INTO gateway_connections (gateway_id, last_seen_at) VALUES (%s, %s)", (gateway.id, TIMES[0])
    )
    renamed = gateways.update(gateway.id, GatewayChanges(name=TEXTS[3], factory_id=factory.id))
    assert (renamed.body, renamed.is_changed) == (gateways.find_json(gateway.id).body, True)
    assert renamed.version == gateway.version + 1
    assert_same(renamed.body, gateway_in(connection, gateway.id))


def test_times_are_formatted_alike_with_any_date_style(
    connection: psycopg.Connection, factories: FactoryRepository, database_url: str
) -> None:
    name = connection.info.dbname
    connection.execute(f'ALTER DATABASE "{name}" SET datestyle = "German"'.encode())
    connection.execute(f'ALTER DATABASE "{name}" SET timezone = "Asia/Tokyo"'.encode())
    factory = factories.create(NewFactory("Mill"))
    with connect(config_for(database_url), "test") as another:
        rendered = FactoryRepository(ConnectionExecutor(another)).find_json(factory.id)
    assert_same(rendered.body, FactoryResponse.of(factories.find_by_id(factory.id)))
