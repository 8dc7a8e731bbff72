"""The database that an operator's command is for: a named one, or that of `make run`, running or not."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping

from devstack.advice import advice
from devstack.commands import TOOLS, local
from devstack.errors import NoDatabaseError, StackError
from devstack.postgres.server import EmbeddedPostgres
from devstack.processes.supervisor import Supervisor
from devstack.project import PROJECT
from devstack.run.environment import data_directory, drop_foreign, with_secret
from devstack.run.run import supervised
from devstack.run.settings import settings_of
from devstack.run.tools import tool_environment
from service.errors import ConfigurationError

Body = Callable[[Mapping[str, str], Mapping[str, str]], int]
"""Gets the settings, with the database's URL, and an environment for programs; returns the exit code."""


def on_database(body: Body, *, make: bool = False) -> int:
    """Run `body` on the database; return its exit code, or 1 after printing why.

    A PostgreSQL of `make run` that does not run is started for as long; with `make` also a new one.
    """

    def run_body(environment: Mapping[str, str]) -> int:
        try:
            return body(settings_of(environment), environment)
        except ConfigurationError as error:
            raise StackError(str(error)) from None

    try:
        try:
            environment = tool_environment()
        except NoDatabaseError:
            data_dir = data_directory(settings_of(os.environ), PROJECT / ".data" / "run")
            if not (make or (data_dir / "postgres" / "cluster").exists()):
                raise
        else:
            return run_body(environment)
    except (StackError, ConfigurationError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(advice(error), file=sys.stderr)
        return 1

    def run_on_own(supervisor: Supervisor, _: object) -> int:
        postgres = EmbeddedPostgres(
            supervisor.data_dir / "postgres", log_path=supervisor.log_dir / "postgres.log"
        )
        supervisor.start(postgres)
        return run_body(with_secret(os.environ, "DATABASE_URL", postgres.url()))

    drop_foreign()
    return supervised(data_dir, run_on_own)


def take_over() -> int:
    """Run `make take-over`; return its exit code."""

    def body(_: Mapping[str, str], environment: Mapping[str, str]) -> int:
        command = local(TOOLS["take-over"])
        return subprocess.run(command, cwd=PROJECT, env=dict(environment), check=False).returncode

    return on_database(body)
