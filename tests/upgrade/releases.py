"""The recorded releases and their schemas."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from devstack.checks.generated import SCHEMA
from tests.support.database_server import cloned_database

RELEASES = sorted(path.name for path in Path(__file__).parent.iterdir() if (path / "rows.sql").exists())


@contextmanager
def empty_database_of(version: str, admin: psycopg.Connection, server_url: str) -> Iterator[str]:
    """Yield the URL of an empty database with a release's schema and list of migrations."""
    with cloned_database(admin, server_url, "template1") as url:
        with psycopg.connect(url) as connection:
            connection.execute(schema_of(version).encode())
        yield url


def schema_of(version: str) -> str:
    """Return the release's `db/schema.sql` without psql's own commands."""
    lines = (Path(__file__).parent / version / SCHEMA.name).read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("\\"))


def migrations_of(version: str) -> set[str]:
    """Return the versions of the release's migrations."""
    return set(re.findall(r"\('(\d{14})'\)", schema_of(version)))
