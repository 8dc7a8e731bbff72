"""Migrating down, and dumping the schema."""

import subprocess

from devstack.commands import MIGRATE, local
from devstack.postgres.binaries import program
from devstack.project import PROJECT

MIGRATIONS = PROJECT / "db" / "migrations"


def dumped(database_url: str) -> str:
    """Return pg_dump's schema, without its random `restrict` key."""
    command = (str(program("pg_dump")), "--schema-only", "--no-owner", f"--dbname={database_url}")
    result = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=True)
    lines = result.stdout.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))


def migrate_down(database_url: str) -> None:
    """Roll back the newest migration."""
    command = local((*MIGRATE[:-1], "down"))
    environment = {"DATABASE_URL": database_url}
    result = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"
