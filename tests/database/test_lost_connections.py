"""A write is not retried, so none may be sent over a connection known to be lost."""

from collections.abc import Iterator

import psycopg
import pytest

from service.database.engine.pool import Database
from service.database.engine.query import Command
from service.database.engine.timeout_connection import has_pending_input
from tests.support.database_pools import config_for
from tests.support.waiting import wait_until

WRITE = Command("INSERT INTO factories (name) VALUES (%(name)s)")


@pytest.fixture
def pool(database_url: str) -> Iterator[Database]:
    """With two connections."""
    database = Database(config_for(database_url, connections=2), "millgate-test")
    database.open()
    yield database
    database.close()


@pytest.mark.req("GATEWAY-08")
def test_a_lost_connection_returned_by_another_thread_is_not_used(
    pool: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database_url, autocommit=True) as database:
        inner = pool._pool
        mine, others = inner.getconn(), inner.getconn()
        for lost in (mine, others):
            database.execute("SELECT pg_terminate_backend(%s)", [lost.info.backend_pid])
        wait_until(lambda: has_pending_input(mine) and has_pending_input(others), what="the end of both")
        inner.putconn(mine)
        check = inner.check

        def check_while_another_gives_back() -> None:
            check()
            monkeypatch.setattr(inner, "check", check)
            inner.putconn(others)

        monkeypatch.setattr(inner, "check", check_while_another_gives_back)
        assert pool.execute(WRITE, {"name": "Mill"}) == 1
        assert database.execute("SELECT count(*) FROM factories").fetchone() == (1,)
