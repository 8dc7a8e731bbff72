"""`make backup` and `make check-backup`: a dump, and whether the settings have the keys that it needs."""

import os
from collections.abc import Mapping
from pathlib import Path
from time import sleep

from devstack.backup.clients import Client
from devstack.backup.contents import Contents, read_contents
from devstack.errors import StackError
from devstack.terminal import say
from service.config import DatabaseConfig, read_sealer
from service.crypto import Sealer
from service.database.engine.first_connection import connect_first
from service.database.engine.pool import Connection
from service.environment import Environment

# Of a connection test nothing is worth keeping; it has a password.
OPTIONS = (
    "--format=custom",
    "--no-owner",
    "--no-privileges",
    "--exclude-table-data=connection_tests",
    "--lock-wait-timeout=60s",
)


def back_up(settings: Mapping[str, str], environment: Mapping[str, str], file: Path) -> int:
    """Dumps the database into a new file, for its owner alone; returns the exit code.

    A dump that needs a key which the settings lack is named `….incomplete`. Raises StackError,
    ConfigurationError.
    """
    read_sealer(Environment(settings))
    if file.exists():
        raise StackError(f"{file} exists already: name another file.")
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        config = DatabaseConfig.read(Environment(settings))
        with connect_to(config, "millgate-backup") as connection:
            Client(connection, config.url, environment).run("pg_dump", [*OPTIONS, f"--file={unfinished}"])
        _, missing = check_keys(settings, unfinished)
        place = file.with_name(f"{file.name}.incomplete") if missing else file
        unfinished.rename(place)
    finally:
        unfinished.unlink(missing_ok=True)
    if missing:
        say(f"NOT COMPLETE, in {place}: add the missing keys to ENCRYPTION_KEYS_OLD, and run this again.")
        return 1
    size_mb = place.stat().st_size / 1e6
    say(f"Complete, in {place} ({size_mb:.1f} MB). Keep the keys elsewhere: without them it is useless.")
    return 0


def check_backup(settings: Mapping[str, str], file: Path) -> int:
    """Says what a backup needs; returns the exit code. Raises StackError, ConfigurationError."""
    _, missing = check_keys(settings, file)
    if missing:
        say("NOT COMPLETE: without the missing keys, passwords of this backup cannot be read.")
        return 1
    say("Complete: the settings have every key that it needs.")
    return 0


def check_keys(settings: Mapping[str, str], file: Path) -> tuple[Contents, list[str]]:
    """Says what a backup contains and needs; returns that, and the ids of the keys that the settings lack.

    Raises StackError, ConfigurationError.
    """
    contents, sealer = read_contents(file), read_sealer(Environment(settings))
    say(f"{contents.gateways} gateways, migrations up to {contents.migration}.")
    missing = contents.missing_keys(sealer)
    for line in key_lines(contents, missing, sealer):
        say(line)
    return contents, missing


def key_lines(contents: Contents, missing: list[str], sealer: Sealer) -> list[str]:
    """A line for each key."""
    return [
        f"Key {key_id} ({need.passwords} passwords): "
        + ("MISSING from the settings." if key_id in missing else f"is {_name_of(key_id, sealer)}.")
        for key_id, need in contents.keys.items()
    ]


def connect_to(config: DatabaseConfig, name: str) -> Connection:
    """A connection whose statements may take their time. Raises ConfigurationError."""
    connection = connect_first(config, name, wait_s=0, say=say, pause=sleep)
    assert connection is not None  # noqa: S101  (this pause returns nothing)
    connection.execute("SET statement_timeout = 0")
    return connection


def _name_of(key_id: str, sealer: Sealer) -> str:
    return "ENCRYPTION_KEY" if key_id == sealer.key_id else "in ENCRYPTION_KEYS_OLD"
