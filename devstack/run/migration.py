"""`make migrate` on a user's own server: dbmate connects as the API does."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from time import sleep
from urllib.parse import quote, urlencode

from psycopg import Connection
from psycopg.conninfo import make_conninfo

from service.config import DatabaseConfig
from service.database.engine.first_connection import MissingDatabaseError, connect_first
from service.environment import Environment

WAIT_S = 10.0
VERIFYING = ("verify-ca", "verify-full")
# dbmate creates a missing database over a connection to this one.
MAINTENANCE = "postgres"


def migration_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Return DATABASE_URL and PGPASSWORD for dbmate, from a connection made as the API makes its own.

    Raises ConfigurationError, without a wait where none would help.
    """
    config = DatabaseConfig.read(Environment(settings))
    try:
        return _settings_of(_connect(config))
    except MissingDatabaseError as error:
        other = replace(config, url=make_conninfo(config.url, dbname=MAINTENANCE))
        return _settings_of(_connect(other), error.database)


def _connect(config: DatabaseConfig) -> Connection:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    connection = connect_first(config, "millgate-migrate", wait_s=WAIT_S, say=say, pause=sleep)
    assert connection is not None  # noqa: S101  (this pause returns nothing)
    return connection


def _settings_of(connection: Connection, database: str = "") -> dict[str, str]:
    """Return the settings with which dbmate's driver, whose defaults differ, connects as libpq does."""
    with connection:
        used = {
            option.keyword.decode(): option.val.decode() for option in connection.pgconn.info if option.val
        }
        info = connection.info
        query = tls_settings(used) if connection.pgconn.ssl_in_use else {"sslmode": "disable"}
        # The host name is needed where the certificate has to match it.
        host = info.host if query["sslmode"] == "verify-full" else used.get("hostaddr") or info.host
        place = f"{f'[{host}]' if ':' in host else quote(host, safe='')}:{info.port}"
        if host.startswith("/"):
            place, query = "", {**query, "socket": host, "port": str(info.port)}
        name = quote(database or info.dbname, safe="")
        url = f"postgresql://{quote(info.user, safe='')}@{place}/{name}?{urlencode(query)}"
        return {"DATABASE_URL": url, "PGPASSWORD": info.password}


def tls_settings(used: Mapping[str, str]) -> dict[str, str]:
    """Return the TLS settings for the other driver, from libpq's options, if the connection uses TLS."""
    mode = used["sslmode"]
    query = {"sslmode": mode if mode in VERIFYING else "require"}
    files = ["sslcert", "sslkey"]
    # With `prefer` libpq checks no certificate, even with a root certificate; the other driver would.
    if mode not in {"prefer", "allow"} and used.get("sslrootcert") != "system":
        files.append("sslrootcert")
    return query | {name: used[name] for name in files if name in used}
