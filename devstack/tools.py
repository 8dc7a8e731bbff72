"""`make api`, `make token` and so on: one part or one of the service's own commands, in our place."""

import os
import sys
from collections.abc import Callable

from devstack.commands import PARTS, PROJECT, TOOLS, local
from devstack.environment import data_directory, with_secret
from devstack.errors import StackError
from devstack.postgres import EmbeddedPostgres
from service.environment import read_environment
from service.errors import ConfigurationError

ENV_FILE = PROJECT / ".env"


def run_part(name: str) -> int:
    """Takes this process's place with the part; returns 1, with a line that says why, if it can not."""
    return _become(PARTS[name], migration_environment if name == "migrate" else lambda: dict(os.environ))


def run_tool(name: str, arguments: list[str]) -> int:
    """Takes this process's place with the tool; returns 1, with a line that says why, if it can not."""
    return _become((*TOOLS[name], *arguments), tool_environment)


def _become(command: tuple[str, ...], environment: Callable[[], dict[str, str]]) -> int:
    try:
        seen = environment()
    except (StackError, ConfigurationError) as error:
        print(error, file=sys.stderr)
        return 1
    program = local(command)
    os.chdir(PROJECT)
    return os.execve(program[0], program, seen)  # noqa: S606  (signals must reach the part itself)


def migration_environment() -> dict[str, str]:
    """What dbmate sees: it knows no files with secrets. Raises ConfigurationError."""
    settings = read_environment(ENV_FILE)
    seen = with_secret(os.environ, "DATABASE_URL", settings.required_secret("DATABASE_URL"))
    if password := settings.secret("DATABASE_PASSWORD"):
        seen["PGPASSWORD"] = password
    return seen


def tool_environment() -> dict[str, str]:
    """With the database that the settings name, or else that of `make run`. Raises StackError."""
    if read_environment(ENV_FILE).secret("DATABASE_URL"):
        return dict(os.environ)
    data_dir = data_directory(os.environ, PROJECT / ".data" / "run")
    url = EmbeddedPostgres(data_dir / "postgres").running_url()
    if url is None:
        raise StackError("No database: `make run` does not run here, and DATABASE_URL is not set.")
    return {**os.environ, "DATABASE_URL": url}
