"""Distinguishes a database that is not running from one that does not answer."""

import socket
from contextlib import closing

from psycopg.conninfo import conninfo_to_dict

_TIMEOUT_S = 1.0
_DEFAULT_PORT = 5432


def is_refusing(database_url: str) -> bool:
    """Whether every server that the URL names refuses connections at this moment.

    A refusal comes from the operating system and means that no server is listening. Not for the URL of a
    proxy or pooler: its refusal says nothing about the database.
    """
    addresses = _addresses(database_url)
    return bool(addresses) and all(_refuses(host, port) for host, port in addresses)


def _addresses(database_url: str) -> list[tuple[str, int]]:
    parameters = conninfo_to_dict(database_url)
    hosts = str(parameters.get("hostaddr") or parameters.get("host") or "").split(",")
    ports = str(parameters.get("port") or _DEFAULT_PORT).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    return [(host, int(port or _DEFAULT_PORT)) for host, port in zip(hosts, ports, strict=True)]


def _refuses(host: str, port: int) -> bool:
    is_local = not host or host.startswith("/")
    family = socket.AF_UNIX if is_local else socket.AF_INET
    try:
        if is_local:
            with closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
                sock.settimeout(_TIMEOUT_S)
                sock.connect(f"{host or '/var/run/postgresql'}/.s.PGSQL.{port}")
        else:
            socket.create_connection((host, port), _TIMEOUT_S).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False
