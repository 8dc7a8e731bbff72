"""`make token`, `make rotate-keys` and so on: the service's own commands, on the database that runs here."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from devstack.commands import PROJECT, TOOLS, local
from devstack.environment import data_directory
from devstack.errors import StackError
from devstack.postgres import EmbeddedPostgres


def run_tool(name: str, arguments: list[str]) -> int:
    """Takes this process's place with the tool; returns 1, with a line that says why, if it can not."""
    try:
        url = database_url(os.environ, PROJECT / ".env")
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    command = local((*TOOLS[name], *arguments))
    os.chdir(PROJECT)
    return os.execve(command[0], command, {**os.environ, "DATABASE_URL": url})  # noqa: S606


def database_url(environment: Mapping[str, str], env_file: Path) -> str:
    """DATABASE_URL if somebody set it, or else that of the server of `make run`. Raises StackError."""
    values = {**dotenv_values(env_file, interpolate=False), **environment}
    if url := values.get("DATABASE_URL"):
        return url
    data_dir = data_directory(environment, PROJECT / ".data" / "run")
    url = EmbeddedPostgres(data_dir / "postgres").running_url()
    if url is None:
        raise StackError("No database: `make run` does not run here, and DATABASE_URL is not set.")
    return url
