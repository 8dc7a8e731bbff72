"""Migrated databases: applies the migrations, and copies a migrated template."""

import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from devstack.commands import MIGRATE, local
from devstack.errors import StackError
from devstack.project import PROJECT

TEMPLATE = "millgate_template"
MIGRATE_LIMIT_S = 120.0


def migrate(database_url: str, project: Path = PROJECT) -> None:
    """Apply a project's migrations to a database, made if missing. Raises StackError with dbmate's output."""
    result = subprocess.run(
        local(MIGRATE),
        cwd=project,
        env={"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=MIGRATE_LIMIT_S,
        check=False,
    )
    if result.returncode != 0:
        raise StackError(f"dbmate could not migrate: {result.stderr.strip()[-500:]}")


def copy_template(admin: psycopg.Connection, name: str, template: str = TEMPLATE) -> None:
    """Create a database as a copy of a template."""
    admin.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    )
