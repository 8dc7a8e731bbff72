"""`make api`, `make token` and so on: replaces this process with one part or command of the service."""

import os
import sys
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from devstack.advice import advice
from devstack.commands import PARTS, TOOLS, local
from devstack.errors import NoDatabaseError, StackError
from devstack.postgres.server import EmbeddedPostgres
from devstack.project import PROJECT
from devstack.run.environment import data_directory, own_server, without_foreign
from devstack.run.migration import migration_settings
from devstack.run.settings import settings_of
from service.environment import Environment
from service.errors import ConfigurationError


def run_part(name: str) -> int:
    """Replace this process with the part; return 1 after printing why if that fails."""
    return _become(
        PARTS[name], migration_environment if name == "migrate" else lambda: own_server(os.environ)
    )


def run_tool(name: str, arguments: list[str]) -> int:
    """Replace this process with the tool; return 1 after printing why if that fails."""
    if arguments[1:] and not arguments[1].strip():
        print(
            "A name is needed: make token NAME=first SCOPE=write, or make token-revoke NAME=first",
            file=sys.stderr,
        )
        return 1
    return _become((*TOOLS[name], *arguments), tool_environment)


def _become(command: tuple[str, ...], environment: Callable[[], dict[str, str]]) -> int:
    try:
        seen = environment()
    except (StackError, ConfigurationError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(advice(error), file=sys.stderr)
        return 1
    program = local(command)
    os.chdir(PROJECT)
    return os.execve(program[0], program, seen)  # noqa: S606  (signals must reach the part itself)


def migration_environment() -> dict[str, str]:
    """Return dbmate's environment with libpq's settings. Raises ConfigurationError, StackError."""
    return {**without_foreign(os.environ), **migration_settings(settings_of(os.environ))}


def tool_environment() -> dict[str, str]:
    """With the database that the settings name, or else that of `make run`. Raises StackError.

    Where both are there, the command's own environment has to say that it means the other one.
    """
    settings = settings_of(os.environ)
    url = Environment(settings).secret("DATABASE_URL")
    is_meant = bool(os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))
    data_dir = data_directory(settings, PROJECT / ".data" / "run")
    try:
        own = None if url and is_meant else EmbeddedPostgres(data_dir / "postgres").running_url()
    except OSError as error:
        raise StackError(advice(error, data_dir)) from None
    if url and own:
        raise StackError(
            f"Two databases: `make run` has its own on {data_dir}, and DATABASE_URL in .env names "
            f"{place_of(url)}. "
            "Remove DATABASE_URL from .env to use the first, or give it to this command to use the other."
        )
    if not url and own is None:
        raise NoDatabaseError("No database: `make run` does not run here, and DATABASE_URL is not set.")
    print(f"Database: {place_of(own or url)}", file=sys.stderr)
    return {**without_foreign(os.environ), "DATABASE_URL": own} if own else own_server(os.environ)


def place_of(url: str) -> str:
    """Return host and name of a database, never more of its URL."""
    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "what is no connection URL"
    # An unencoded password may extend into the host.
    host = str(known.get("host") or "this machine").rpartition("@")[2]
    return f"{known.get('dbname') or 'the default'} on {host}"
