"""`make restore`: a backup into an empty database. What is wrong is said before anything is touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection

from devstack.backup.backup import check_keys, connect_to
from devstack.backup.clients import Client
from devstack.errors import StackError
from devstack.migrations import newest_migration
from devstack.terminal import say
from service.config import DatabaseConfig
from service.environment import Environment

# All or nothing: after an error the database is as empty as before.
OPTIONS = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
# Tables, views and sequences that belong to no extension.
FIND_RELATION = """
    SELECT c.oid::regclass::text
    FROM pg_class AS c JOIN pg_namespace AS n ON c.relnamespace = n.oid
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    LIMIT 1
"""


@dataclass(frozen=True)
class FittingBackup:
    """A file that this version can restore, with keys that the settings have."""

    file: Path
    is_older: bool


def check_fits(settings: Mapping[str, str], file: Path) -> FittingBackup:
    """Needs no database, and touches none. Raises StackError, ConfigurationError."""
    contents, missing = check_keys(settings, file)
    if missing:
        raise StackError("Nothing was restored: add the missing keys to ENCRYPTION_KEYS_OLD first.")
    newest = newest_migration()
    if contents.migration > newest:
        raise StackError(
            f"Nothing was restored: the backup is of a newer version, whose migrations go up to "
            f"{contents.migration}. This version knows {newest}."
        )
    return FittingBackup(file, contents.migration < newest)


def restore(settings: Mapping[str, str], environment: Mapping[str, str], backup: FittingBackup) -> int:
    """Restores a backup; returns the exit code. Raises StackError, ConfigurationError."""
    config = DatabaseConfig.read(Environment(settings))
    with connect_to(config, "millgate-restore") as connection:
        check_empty(connection)
        Client(connection, config.url, environment).run("pg_restore", [*OPTIONS, backup.file])
        # Without statistics the first plans would be made for empty tables.
        connection.execute("ANALYZE")
        held = is_held(connection)
    say("Restored.")
    if backup.is_older:
        say("It is of an older version: migrate it before you start API and workers (`make run` does so).")
    if held:
        say("The database is held: once no worker uses the original, run make take-over.")
    return 0


def check_empty(connection: Connection[Any]) -> None:
    """Raises StackError for a database that has anything in it."""
    if found := connection.execute(FIND_RELATION).fetchone():
        raise StackError(
            f"Nothing was restored: the database is not empty, it has {found[0]}. Restore into a new one."
        )


def is_held(connection: Connection[Any]) -> bool:
    """Whether no worker may use this database; one of an older version never is."""
    if connection.execute("SELECT to_regproc('database_is_held')").fetchone() == (None,):
        return False
    return connection.execute("SELECT database_is_held()").fetchone() == (True,)
