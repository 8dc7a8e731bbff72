"""`make migrate` reaches the servers that the API reaches, and reports errors without delay."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres
from devstack.project import PROJECT
from devstack.run.migration import tls_settings
from tests.support.database_server import SETTINGS

LIMIT_S = 40
pytestmark = pytest.mark.req("DB-01", "QUAL-06")


def migrate(url: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devstack", "migrate"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, **more},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("server") / "postgres", SETTINGS) as server:
        yield server


def without_query(server: EmbeddedPostgres, database: str = "") -> str:
    return server.url(database or f"new_{uuid.uuid4().hex}").partition("?")[0]


def is_migrated(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT to_regclass('gateways') IS NOT NULL").fetchone() == (True,)


@pytest.mark.parametrize("query", ["", "?keepalives_idle=5", "?sslmode=prefer&connect_timeout=3"])
def test_it_takes_libpq_settings_and_creates_the_database(server: EmbeddedPostgres, query: str) -> None:
    url = without_query(server) + query
    done = migrate(url)
    assert done.returncode == 0, done.stderr
    assert is_migrated(url)


def test_of_several_hosts_or_a_service_the_answering_one_is_used(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    url = without_query(server)
    parts = urlsplit(url)
    several = url.replace(f"@{parts.hostname}:", f"@127.0.0.1:1,{parts.hostname}:")
    assert migrate(several).returncode == 0
    assert is_migrated(url)
    service = tmp_path / "services"
    service.write_text(f"[plant]\nhost={parts.hostname}\nport={parts.port}\nuser={parts.username}\n")
    name = f"new_{uuid.uuid4().hex}"
    done = migrate(
        f"postgresql:///{name}?service=plant",
        PGSERVICEFILE=str(service),
        DATABASE_PASSWORD=parts.password or "",
    )
    assert done.returncode == 0, done.stderr
    assert is_migrated(without_query(server, name))


def test_a_wrong_password_and_an_unreachable_server_are_reported(
    server: EmbeddedPostgres,
) -> None:
    url = without_query(server, "postgres")
    refused = migrate(url.replace(f":{urlsplit(url).password}@", ":hidden@"))
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "password authentication failed" in refused.stderr
    away = migrate("postgresql://u:hidden@127.0.0.1:1/d")
    assert away.returncode == 1
    first, last = away.stderr.splitlines()
    assert first.startswith("waiting up to 10 s for the database: ")
    assert "Connection refused" in last
    assert "hidden" not in refused.stderr + away.stderr


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ({"sslmode": "prefer", "sslrootcert": "ca"}, {"sslmode": "require"}),
        ({"sslmode": "allow"}, {"sslmode": "require"}),
        (
            {"sslmode": "require", "sslcert": "c", "sslkey": "k"},
            {"sslmode": "require", "sslcert": "c", "sslkey": "k"},
        ),
        ({"sslmode": "require", "sslrootcert": "ca"}, {"sslmode": "require", "sslrootcert": "ca"}),
        ({"sslmode": "verify-full", "sslrootcert": "ca"}, {"sslmode": "verify-full", "sslrootcert": "ca"}),
        ({"sslmode": "verify-full", "sslrootcert": "system"}, {"sslmode": "verify-full"}),
    ],
)
def test_with_tls_it_verifies_as_the_api_does(used: dict[str, str], expected: dict[str, str]) -> None:
    assert tls_settings(used) == expected
