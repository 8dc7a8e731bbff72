"""One API server per module, emptied for each test, and separate servers for single tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from devstack.commands import API
from tests.support.api_server import ApiServer
from tests.support.database_server import cloned_database

MODULE_API = tuple[ApiServer, psycopg.Connection]


@pytest.fixture(scope="module")
def module_api(
    server_admin: psycopg.Connection, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MODULE_API]:
    """Yield a server with its own database, and a connection to that database."""
    with (
        cloned_database(server_admin, server_url) as url,
        psycopg.connect(url, autocommit=True) as connection,
        ApiServer(url, tmp_path_factory.mktemp("api") / "api.log") as api,
    ):
        yield api, connection


@pytest.fixture
def api(module_api: MODULE_API) -> ApiServer:
    """Return the module's server, without factories and gateways."""
    server, connection = module_api
    connection.execute("TRUNCATE factories, gateways, gateway_connections, gateway_events, workers CASCADE")
    return server


@pytest.fixture
def database(module_api: MODULE_API) -> psycopg.Connection:
    """Return a connection to the module's database."""
    return module_api[1]


@pytest.fixture
def start_api(database_url: str, tmp_path: Path) -> Iterator[Callable[..., ApiServer]]:
    """Start servers for this test alone, on its own database unless it names another."""
    with ExitStack() as servers:

        def start(
            url: str = database_url,
            application: str = API[-1],
            configuration: str = API[2],
            **extra: str,
        ) -> ApiServer:
            server = ApiServer(url, tmp_path / "api.log", extra, application, configuration)
            return servers.enter_context(server)

        yield start
