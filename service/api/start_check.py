"""What is made sure of before the first request is served: the port is free, and the key is the right one."""

import socket
import time

from service.config import ApiConfig
from service.crypto import Sealer
from service.database.canaries import check_key
from service.database.pool import Database
from service.errors import ConfigurationError, DatabaseError, DatabaseUnavailableError

DATABASE_WAIT_S = 30.0


def check_port(config: ApiConfig) -> None:
    """Raises ConfigurationError where gunicorn would try for 5 s and fill the log."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on HOST {config.host}, PORT {config.port}: {error.strerror or error}"
            ) from None


def check_encryption_key(config: ApiConfig, wait_s: float = DATABASE_WAIT_S) -> None:
    """Waits for the database if need be. Raises ConfigurationError.

    Uses connections of its own, closed at the end, so that it may run before a fork.
    """
    sealer = Sealer(config.encryption_key, config.old_encryption_keys)
    database = Database(config.database, "millgate-api-start")
    database.open()
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                with database.transaction() as transaction:
                    return check_key(transaction, sealer, will_seal=True)
            except DatabaseUnavailableError as error:
                if time.monotonic() > deadline:
                    raise ConfigurationError(f"{error}: see DATABASE_URL") from None
    except DatabaseError as error:
        raise ConfigurationError(f"the database cannot be used: {error}") from None
    finally:
        database.close()
