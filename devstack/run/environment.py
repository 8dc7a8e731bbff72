"""The settings that `make run` reads from the environment and `.env`, and passes to its children."""

import base64
import errno
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import StackError
from devstack.postgres.server import write_secret

# Users set these for other purposes; their readers (Python and its libraries, libpq, dbmate) would prefer
# them to our settings.
FOREIGN = ("PG", "DBMATE_", "PYTHON", "GUNICORN_", "GEVENT_", "FLASK_", "PSYCOPG_", "PROMETHEUS_")
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "3000"
ENV_FILE_TEXT = """\
# Written by `make run`. Every variable, with unit and default, is explained in .env.example.

# Seals the gateways' passwords: 32 random bytes in base64. Keep a copy: without it they cannot be read again.
ENCRYPTION_KEY={key}

# The API listens here.
HOST={host}
PORT={port}

# `make run` brings its own PostgreSQL. For one of yours, with make migrate, make api and make worker:
# DATABASE_URL=postgresql://user:password@localhost:5432/millgate
"""


@dataclass(frozen=True)
class Address:
    """The address on which the API listens."""

    host: str
    port: int

    @property
    def reachable_host(self) -> str:
        """Return the host for a client on this machine."""
        return {"0.0.0.0": DEFAULT_HOST, "": DEFAULT_HOST, "::": "::1"}.get(self.host, self.host)  # noqa: S104

    @property
    def base_url(self) -> str:
        """Return the API's URL for a client on this machine."""
        host = self.reachable_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def page_url(self) -> str:
        """The operators' page, likewise."""
        return f"{self.base_url}/ui/"


def write_env_file(path: Path) -> bool:
    """Write a first `.env` with a fresh key, readable by its owner alone; return False if one exists."""
    if path.exists():
        return False
    text = ENV_FILE_TEXT.format(key=new_encryption_key(), host=DEFAULT_HOST, port=DEFAULT_PORT)
    write_secret(path, text)
    return True


def new_encryption_key() -> str:
    """Return 32 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def read_address(settings: Mapping[str, str]) -> Address:
    """Return HOST and PORT. Raises StackError for an invalid PORT."""
    port = settings.get("PORT") or DEFAULT_PORT
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65_535):
        raise StackError("PORT must be a whole number from 1 to 65535.")
    return Address(settings.get("HOST") or DEFAULT_HOST, int(port))


def check_address_is_free(address: Address) -> None:
    """Raises StackError with one line if the address is in use or cannot be bound."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                advice = f"Port {address.port} is in use by another program: choose another one"
            elif error.errno == errno.EACCES:
                advice = f"This user may not listen on port {address.port}: choose another one"
            else:
                raise StackError(
                    f"Cannot listen on HOST {address.host} ({error.strerror}): it has to be an address of "
                    "this machine, such as 127.0.0.1, or 0.0.0.0 for all of them."
                ) from None
            raise StackError(f"{advice}, for example PORT=3001 make run.") from None


def check_metrics_ports(settings: Mapping[str, str], address: Address, workers: int) -> None:
    """Raises StackError if a worker's metrics port would be the API's port."""
    first = settings.get("METRICS_PORT") or ""
    if first.isdecimal() and int(first) <= address.port < int(first) + workers:
        raise StackError(
            f"PORT {address.port} is also a port for workers' metrics (METRICS_PORT {first} and up): "
            "choose another one for either."
        )


def child_environment(
    environment: Mapping[str, str], database_url: str, address: Address, **more: str
) -> dict[str, str]:
    """Return the environment of migrations, API and worker: ours, with the embedded database."""
    own = {"HOST": address.host, "PORT": str(address.port)}
    given = with_secret(environment, "DATABASE_URL", database_url)
    return {**given, "PYTHONUNBUFFERED": "1", **own, **more}


def with_secret(environment: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """Return the environment with the secret, and without a file that would name another one."""
    others = {key: text for key, text in environment.items() if key != f"{name}_FILE"}
    return {**others, name: value}


def metrics_setting(settings: Mapping[str, str], position: int) -> dict[str, str]:
    """Return METRICS_PORT of the worker at this position: the first has the configured one, others follow."""
    port = settings.get("METRICS_PORT") or ""
    if position == 0 or not port.isdecimal() or int(port) == 0:
        return {}
    return {"METRICS_PORT": str(int(port) + position)}


def data_directory(settings: Mapping[str, str], default: Path) -> Path:
    """Return MILLGATE_DATA_DIR, or the default."""
    return Path(os.path.expandvars(settings.get("MILLGATE_DATA_DIR") or default)).expanduser().absolute()


def without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without variables that would change the started programs."""
    return {name: value for name, value in environment.items() if not name.startswith(FOREIGN)}


def drop_foreign() -> None:
    """Remove such variables from this process, whose libpq reads them, too, and so from all it starts."""
    for name in os.environ.keys() - without_foreign(os.environ).keys():
        del os.environ[name]


def own_server(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the same for a user's own PostgreSQL, for which libpq's variables (PG…) are meant."""
    theirs = {name: value for name, value in environment.items() if name.startswith("PG")}
    return {**without_foreign(environment), **theirs}
