"""The PostgreSQL server of a test run: a migrated template database, and a clone of it for each test."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from devstack.postgres.migrated import TEMPLATE, copy_template, migrate
from devstack.postgres.server import EmbeddedPostgres
from devstack.processes.owner import TemporaryOwner
from devstack.project import PROJECT

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "max_wal_size": "4GB",
}


class SecretUrl(str):
    """A URL with a password, hidden because pytest shows the arguments of failed tests."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'postgresql://…'"


class RunDirectory:
    """`.data/test-<process id>`: everything that one test run writes, removed at its end."""

    def __init__(self) -> None:
        self._owner = TemporaryOwner(PROJECT / ".data" / f"test-{os.getpid()}")
        self._owner.__enter__()
        self.path = self._owner.directory
        self._server: EmbeddedPostgres | None = None

    def server_url(self) -> str:
        """Start the server and make the template on first use; return the URL of database `postgres`."""
        if self._server is None:
            server = self._server = EmbeddedPostgres(self.path / "postgres", SETTINGS)
            server.start(on_spawn=lambda pid: self._owner.add(server, pid))
            migrate(server.url(TEMPLATE))
        return self._server.url("postgres")

    def remove(self) -> None:
        """Stop the server and remove everything."""
        if self._server is not None:
            self._server.stop()
        self._owner.__exit__()


def with_database(server_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    before, _, _ = server_url.rpartition("/")
    return SecretUrl(f"{before}/{name}?sslmode=disable")


@contextmanager
def cloned_database(admin: psycopg.Connection, server_url: str, template: str = TEMPLATE) -> Iterator[str]:
    """Yield the URL of a fresh copy of a template, dropped at the end together with its sessions."""
    name = f"test_{uuid.uuid4().hex}"
    copy_template(admin, name, template)
    try:
        yield with_database(server_url, name)
    finally:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
