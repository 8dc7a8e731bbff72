"""A copy of a database is held: beside its original it opens no session, until somebody takes it over."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from devstack.postgres.server import EmbeddedPostgres
from devstack.project import PROJECT
from service.database.engine.pool import ConnectionExecutor
from service.database.observed.connection_tests import ConnectionTestClaimRepository
from service.database.observed.connections import ConnectionRepository
from service.database.observed.workers import WorkerRepository
from service.errors import DatabaseHeldError
from tests.support.api.metrics import read
from tests.support.api_server import ApiServer
from tests.support.copies import copy_database
from tests.support.database_server import SETTINGS, SecretUrl, cloned_database
from tests.support.inherited import inherited
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker, WorkerProcess
from tests.workers.conftest import StartSite, StartWorker

HELD = "the database is held"
TEST = """
    INSERT INTO connection_tests (url, email, sealed_password, sealed_for, expires_at)
    VALUES ('ws://127.0.0.1:9', 'a@b.c', repeat('x', 40)::bytea, uuidv7(), now() + interval '1 minute')
"""
METRIC = ("millgate_database_held", frozenset[tuple[str, str]]())


def take_over(database_url: str) -> str:
    """The operator's command; returns what it says."""
    command = [sys.executable, "-m", "service.take_over"]
    environment = {**inherited(), "PYTHONPATH": str(PROJECT), "DATABASE_URL": database_url}
    result = subprocess.run(
        command, cwd="/", env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def is_held(database_url: str) -> bool:
    """What the database says of itself."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT database_is_held()").fetchone()
    return row == (True,)


@pytest.fixture
def empty_url(server_admin: psycopg.Connection, server_url: str) -> Iterator[str]:
    """An empty database on the server of all others."""
    with cloned_database(server_admin, server_url, "template0") as url:
        yield url


@pytest.fixture
def other_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """An empty cluster."""
    with EmbeddedPostgres(tmp_path / "other-postgres", SETTINGS) as server:
        yield server


@pytest.fixture(params=["empty_url", "other_postgres"])
def copy_url(request: pytest.FixtureRequest) -> str:
    """Where a copy is to be: in the cluster of its original, or in another one."""
    place = request.getfixturevalue(request.param)
    return SecretUrl(place.url() if isinstance(place, EmbeddedPostgres) else place)


@pytest.mark.req("LIFECYCLE-05", "STATUS-01")
def test_a_copy_beside_its_original_opens_no_session_until_it_is_taken_over(
    testbed: WorkerTestBed,
    start_site: StartSite,
    start_worker: StartWorker,
    copy_url: str,
    tmp_path: Path,
) -> None:
    site = start_site(3)
    original = start_worker()
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    copy_database(testbed.database_url, copy_url)
    copy_worker = WorkerProcess(copy_url, tmp_path, {})
    try:
        wait_until(lambda: HELD in copy_worker.log, 20, "the worker of the copy to say that it is held")
        with WorkerTestBed(copy_url) as copy, ApiServer(copy_url, tmp_path / "api.log") as api:
            new = copy.add("AP-new", site.gateways[0].url)
            reply = api.call("GET", "/api/health/ready")
            assert (reply.status, reply.fields) == (503, ["database", "workers"])
            assert reply.error["details"][0]["type"] == "held"
            assert "take-over" in reply.error["details"][0]["message"]
            assert read(api)[METRIC] == 1
            page = api.call("GET", "/ui/").body
            assert b"This database is held" in page
            assert b"nobody can vouch" not in page
            for row_id, state in [*((each, "unknown") for each in row_ids), (new, "disconnected")]:
                status = copy.status(row_id)
                assert (status.state, status.reason_code) == (state, "database_held")
            test = {"url": site.gateways[0].url, "email": "a@b.c", "password": "p"}
            assert api.call("POST", "/api/gateways/test", test).error["code"] == "NO_WORKER"
            seen = site.summary()
            assert (seen["open_sessions"], seen["max_open_sessions"], seen["logins"]) == (3, 1, 3)

            # The original has gone: now the operator says so.
            copy.delete(new)
            original.stop()
            assert "Taken over" in take_over(copy_url)
            for row_id in row_ids:
                copy.wait_for_state(row_id, "connected", 20)
            assert api.call("GET", "/api/health/ready").status == 200
            assert b"This database is held" not in api.call("GET", "/ui/").body
            seen = site.summary()
            assert (seen["open_sessions"], seen["max_open_sessions"]) == (3, 1)
    finally:
        copy_worker.kill()
    assert copy_worker.log.count(HELD) == 1
    # Nobody asked the original to stand back: this is what an operator must not do.
    assert not is_held(testbed.database_url)


@pytest.mark.req("LIFECYCLE-05")
def test_a_running_worker_is_held_when_a_copy_takes_the_place_of_its_database(
    own_postgres: EmbeddedPostgres, other_postgres: EmbeddedPostgres, start_site: StartSite
) -> None:
    """The copy has the worker's row, not ended, and the gateways as held by it."""
    url = SecretUrl(own_postgres.url())
    site = start_site(3)
    with WorkerTestBed(url) as testbed:
        worker = ThreadedWorker(url, {})
        try:
            row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
            for row_id in row_ids:
                testbed.wait_for_state(row_id, "connected")
            copy_database(url, other_postgres.url())
            with psycopg.connect(other_postgres.url(), autocommit=True) as connection:
                password = sql.Literal(urlsplit(url).password)
                connection.execute(sql.SQL("ALTER ROLE millgate PASSWORD {}").format(password))
            other_postgres._password_file.write_text(own_postgres._password_file.read_text())
            own_postgres.stop()
            other_postgres.stop()
            other_postgres.port = own_postgres.port
            other_postgres.start()
            wait_until(lambda: site.summary()["open_sessions"] == 0, 20, "the sessions to end")
            logins = site.summary()["logins"]
            with WorkerTestBed(url) as copy:
                assert is_held(url)
                assert copy.status(row_ids[0]).reason_code == "database_held"
                assert not copy.rows("SELECT FROM workers AS w WHERE worker_is_live(w)")
                assert site.summary()["logins"] == logins
                take_over(url)
                for row_id in row_ids:
                    copy.wait_for_state(row_id, "connected", 20)
            assert site.summary()["max_open_sessions"] == 1
        finally:
            worker.stop()


def test_what_a_worker_writes_counts_for_nothing_once_its_database_is_a_copy(testbed: WorkerTestBed) -> None:
    """Between the exchange of the database and the worker's next renewal it still takes its row for live."""
    testbed.add("AP-1", "ws://127.0.0.1:9")
    testbed.rows(TEST)
    with psycopg.connect(testbed.database_url, autocommit=True) as connection:
        executor = ConnectionExecutor(connection)
        workers = WorkerRepository(executor)
        worker = workers.register("here", 1, "0", 60)
        connection.execute("UPDATE database_identity SET identity = 'elsewhere'")
        assert ConnectionRepository(executor, worker).claim(10) == []
        assert ConnectionTestClaimRepository(executor, worker).claim(10) == []
        assert not workers.renew(worker, 0)
        with pytest.raises(DatabaseHeldError):
            workers.register("here", 1, "0", 60)
        take_over(testbed.database_url)
        assert len(ConnectionRepository(executor, worker).claim(10)) == 1
        assert len(ConnectionTestClaimRepository(executor, worker).claim(10)) == 1
        assert workers.renew(worker, 1)


@pytest.mark.req("DB-01")
def test_a_database_that_never_had_a_worker_is_not_held(
    database_url: str, start_site: StartSite, start_worker: StartWorker, empty_url: str
) -> None:
    """A new one, a copy of a template, a restored dump of either."""
    assert not is_held(database_url)
    copy_database(database_url, empty_url)
    assert not is_held(empty_url)
    assert "not held" in take_over(empty_url)
    start_worker()
    wait_until(lambda: "recorded" in recorded(database_url), 10, "the first worker to record the database")
    assert not is_held(database_url)


def recorded(database_url: str) -> str:
    """`recorded` once the database knows which one it is."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM database_identity").fetchone()
    return "recorded" if row == (1,) else "unknown"
