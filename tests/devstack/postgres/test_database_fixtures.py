"""The database fixtures of all other tests."""

import os
import subprocess
import sys

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres
from devstack.project import PROJECT


def tables_of(url: str) -> set[str]:
    """Return the names of the tables in schema public."""
    with psycopg.connect(url) as connection:
        return {
            name
            for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }


@pytest.mark.parametrize("round_number", [1, 2])
def test_each_test_has_its_own_migrated_database(database_url: str, round_number: int) -> None:
    assert {"factories", "gateways", "schema_migrations"} <= tables_of(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE only_here ()")


@pytest.mark.req("DB-01")
def test_an_own_server_is_a_migrated_postgresql_18_and_keeps_its_url_over_a_restart(
    own_postgres: EmbeddedPostgres,
) -> None:
    url = own_postgres.url()
    with psycopg.connect(url) as connection:
        assert connection.info.server_version // 10_000 == 18
        connection.execute("CREATE TABLE still_here ()")
    own_postgres.stop()
    own_postgres.start()
    assert own_postgres.url() == url
    assert {"gateways", "still_here"} <= tables_of(url)


def test_user_settings_for_databases_do_not_reach_the_tests() -> None:
    program = (
        "import os, tests.conftest; "
        "print([name for name in os.environ if name.startswith(('PG', 'DBMATE_', 'PYTHON'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "PGSERVICE": "nowhere", "DBMATE_STRICT": "1", "PYTHONWARNINGS": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == "[]\n"
