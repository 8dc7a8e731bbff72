"""Operations on a factory of 10,000 gateways finish in time, or report a timeout."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from service.database.desired.bulk_updates import BulkUpdateRepository
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateway_lists import GatewayFilter
from service.database.desired.restore import RestorationRepository
from service.database.desired.values import NewFactory
from service.database.engine.pool import ConnectionExecutor, connect
from service.database.engine.query import Executor
from tests.support.api_server import ApiServer
from tests.support.database_pools import config_for

# Twice as many as promised within the default limit, so that quadratic cost shows.
MANY = 20_000
SOME = 500
INSERT = """
    INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)
    SELECT %s, 'CTC-' || n, 'Gateway ' || n, 'ws://x', 'a@b', %s
    FROM generate_series(1, %s) AS n
"""
# This session's statistics that are not flushed yet.
WRITES = "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables"


@pytest.mark.req("FACTORY-04", "GATEWAY-08")
def test_a_factory_of_many_is_disconnected_connected_deleted_and_restored_in_time(
    api: ApiServer, database: psycopg.Connection
) -> None:
    gateway = api.gateway(api.factory()["id"], "CTC-0")
    factory_id, other_id = gateway["factory_id"], api.factory()["id"]
    # Sealed with the current key.
    sealed = database.execute("SELECT sealed_password FROM gateways").fetchone()
    assert sealed is not None
    database.execute(INSERT, [factory_id, sealed[0], MANY - 1])
    for word in ("disconnect", "connect"):
        reply = api.call("POST", f"/api/gateways/{word}", {"factory_id": factory_id}, limit_s=60)
        assert (reply.status, reply.json) == (202, {"matched": MANY, "changed": MANY})
    assert api.call("DELETE", f"/api/factories/{factory_id}").status == 204
    assert api.call("POST", f"/api/factories/{factory_id}/restore").status == 200
    # As in the API's sessions.
    database.execute("SET statement_timeout = '4s'")
    database.execute("UPDATE gateways SET factory_id = %s", [other_id])
    database.execute("RESET statement_timeout")
    moved = api.call("GET", f"/api/gateways?factory_id={other_id}&limit=1")
    assert moved.json["pagination"]["total"] == MANY


@contextmanager
def counted_writes(connection: psycopg.Connection) -> Iterator[dict[str, int]]:
    """Yield a dictionary that is filled with the rows per table that the block's transaction wrote."""
    written: dict[str, int] = {}
    with connection.transaction():
        before: dict[str, int] = dict(connection.execute(WRITES).fetchall())
        yield written
        after = connection.execute(WRITES).fetchall()
        written.update({table: number - before.get(table, 0) for table, number in after})


def test_no_row_is_written_once_for_each_of_many_gateways(database_url: str) -> None:
    """Each dead version of the row would slow down the next update."""
    with connect(config_for(database_url), "test") as connection:
        executor: Executor = ConnectionExecutor(connection)
        factories = FactoryRepository(executor)
        one, other = (factories.create(NewFactory(name)).id for name in ("one", "other"))
        connection.execute(INSERT, [one, b"s" * 40, SOME])
        which = GatewayFilter(factory_id=one)

        def move(to: UUID) -> None:
            connection.execute("UPDATE gateways SET factory_id = %s", [to])

        for change in (
            lambda: BulkUpdateRepository(executor).want(which, connected=False),
            lambda: BulkUpdateRepository(executor).want(which, connected=True),
            lambda: factories.soft_delete(one),
            lambda: RestorationRepository(executor).restore_factory(one),
            lambda: move(other),
            lambda: connection.execute("DELETE FROM gateways"),
        ):
            with counted_writes(connection) as written:
                change()
            often = {table for table, number in written.items() if number >= SOME}
            assert often <= {"gateways", "desired_state_changes"}


@pytest.mark.req("API-02", "GATEWAY-08")
@pytest.mark.parametrize("limits", [{}, {"DB_STATEMENT_TIMEOUT_S": "1"}])
def test_a_statement_that_times_out_returns_an_error_and_changes_nothing(
    database_url: str, tmp_path: Path, limits: dict[str, str]
) -> None:
    """By the request's timeout or the statement's."""
    with ApiServer(database_url, tmp_path / "api.log", limits) as api:
        factory = api.factory()
        gateway = api.gateway(factory["id"])
        with psycopg.connect(database_url) as another:
            another.execute("LOCK TABLE gateways IN ACCESS EXCLUSIVE MODE")
            for method, path, body in (
                ("GET", "/api/gateways", None),
                ("PATCH", f"/api/gateways/{gateway['id']}", {"name": "Never"}),
                ("DELETE", f"/api/factories/{factory['id']}", None),
            ):
                reply = api.call(method, path, body)
                assert (reply.status, reply.error["code"]) == (500, "DATABASE_TIMEOUT"), path
            waiting = another.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'active' AND wait_event_type = 'Lock'"
            ).fetchone()
            assert waiting == (0,), "no statement waits for it in the server either"
        assert api.call("GET", f"/api/gateways/{gateway['id']}").json["name"] == gateway["name"]
        assert api.call("GET", f"/api/factories/{factory['id']}").status == 200
