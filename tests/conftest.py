"""Fixtures of all tests: a database or a PostgreSQL server for one test."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from devstack.postgres.migrated import migrate
from devstack.postgres.server import EmbeddedPostgres
from devstack.run.environment import drop_foreign
from tests.support.database_server import SETTINGS, RunDirectory, SecretUrl, cloned_database

# The duration of an example on a shared machine is meaningless.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
drop_foreign()
# For `make chaos`: more examples per property.
settings.register_profile("thorough", deadline=None, max_examples=1500)
pytest_plugins = ["tests.requirements_plugin"]
RUN_DIRECTORY = pytest.StashKey[RunDirectory]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the run's directory, also for temporary files, in the process that controls the run."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    directory = RunDirectory()
    config.stash[RUN_DIRECTORY] = directory
    if config.option.basetemp is None:
        config.option.basetemp = str(directory.path / "tmp")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server and remove the run's directory."""
    directory = config.stash.get(RUN_DIRECTORY, None)
    if directory is not None:
        directory.remove()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Under xdist the controlling process owns the server and passes the URL to its workers."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    node.workerinput["server_url"] = config.stash[RUN_DIRECTORY].server_url()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of database `postgres` on the run's server, started on first use."""
    worker_input: dict[str, str] | None = getattr(request.config, "workerinput", None)
    if worker_input is not None:
        return SecretUrl(worker_input["server_url"])
    return SecretUrl(request.config.stash[RUN_DIRECTORY].server_url())


@pytest.fixture(scope="session")
def server_admin(server_url: str) -> Iterator[psycopg.Connection]:
    """Yield an autocommit connection to the run's server, for commands outside a test's database."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database_url(server_admin: psycopg.Connection, server_url: str) -> Iterator[str]:
    """Yield the URL of a fresh, migrated database for this test alone."""
    with cloned_database(server_admin, server_url) as url:
        yield url


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """Yield a running, migrated server (database `millgate`) that this test may stop, start and kill."""
    with EmbeddedPostgres(tmp_path / "own-postgres", SETTINGS) as server:
        migrate(server.url())
        yield server
