"""A process's first connection: what is wrong with it is said at once, and waited for where it may pass."""

import re
from collections.abc import Callable
from time import monotonic
from typing import Any

import psycopg

from service.config import DatabaseConfig
from service.database.engine.error_mapping import map_errors
from service.database.engine.pool import Connection, ConnectionExecutor, connect
from service.database.engine.query import Executor
from service.errors import ConfigurationError, DatabaseError, DatabaseUnavailableError

RETRY_INTERVAL_S = 0.2
# What the server or libpq says where another attempt would end alike. In another language it is waited for.
_LASTING = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|permission denied"
    r"|is not permitted to log in|does not support SSL|SSL off|sslmode|certificate|SSL error"
    r"|definition of service|pg_service|invalid (integer|port|value|connection)|requires? authentication"
)
_MISSING = re.compile(r'FATAL:\s+database "(.+)" does not exist')
_PASSING = re.compile(r"refused|time(d)? ?out|starting up|shutting down|recovery|too many|reserved")
# psycopg's and libpq's; the name may hold a piece of a password that was not encoded.
_NAME_UNKNOWN = re.compile(r"resolve host|translate host name")


class LastingConnectionError(ConfigurationError):
    """The server, or libpq, refuses what DATABASE_URL says: waiting does not help."""


class MissingDatabaseError(LastingConnectionError):
    """The server has no database of the name."""

    def __init__(self, text: str, database: str) -> None:
        super().__init__(text)
        self.database = database


def reason_of(error: psycopg.OperationalError, config: DatabaseConfig) -> str:
    """What libpq or the server says of a connection that failed, in one line and without a secret."""
    text = " ".join(str(error).partition("Multiple connection attempts failed")[0].split())
    if _NAME_UNKNOWN.search(text):
        return "its host name is not known (a password in a URL has to be percent-encoded)"
    if password := config.password:
        text = text.replace(password, "…")
    return re.sub(r"^connection (failed|is bad): ", "", text)


def connect_first(
    config: DatabaseConfig,
    application_name: str,
    *,
    wait_s: float,
    say: Callable[[str], None],
    pause: Callable[[float], object],
) -> Connection | None:
    """A connection, as soon as the server takes one; None as soon as `pause` returns something true.

    Each new reason to wait is said at once. Raises ConfigurationError, with the last reason.
    """
    deadline, said = monotonic() + wait_s, ""
    while True:
        try:
            return connect(config, application_name)
        except psycopg.OperationalError as error:
            text, reason = str(error), reason_of(error, config)
        words = f"the database refuses what DATABASE_URL says: {reason}"
        if missing := _MISSING.search(text):
            raise MissingDatabaseError(words, missing[1])
        if _LASTING.search(text) and not _PASSING.search(text):
            raise LastingConnectionError(words)
        if monotonic() >= deadline:
            raise ConfigurationError(f"the database cannot be reached (see DATABASE_URL): {reason}")
        if reason != said:
            say(f"waiting up to {wait_s:.0f} s for the database: {reason}")
            said = reason
        if pause(RETRY_INTERVAL_S):
            return None


def check_first(
    config: DatabaseConfig, application_name: str, check: Callable[[Executor], None], **waiting: Any
) -> None:
    """Runs the check in a transaction on a connection of its own; `waiting` is as for `connect_first`.

    Returns without a check as soon as `pause` returns something true. Raises ConfigurationError.
    """
    deadline = monotonic() + waiting["wait_s"]
    while (connection := connect_first(config, application_name, **waiting)) is not None:
        try:
            with connection, map_errors(), connection.transaction():
                return check(ConnectionExecutor(connection))
        except DatabaseError as error:
            passes = isinstance(error, DatabaseUnavailableError) and monotonic() < deadline
            if not passes:
                raise ConfigurationError(f"the database cannot be used: {error}") from None
        if waiting["pause"](RETRY_INTERVAL_S):
            return None
    return None


def check_reachable(config: DatabaseConfig, application_name: str) -> None:
    """For a command that does not wait. Raises ConfigurationError, with the reason."""
    connection = connect_first(config, application_name, wait_s=0, say=lambda _: None, pause=lambda _: True)
    if connection is not None:
        connection.close()
