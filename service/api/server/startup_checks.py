"""What is made sure of before the first request is served: the port is free, and the key is the right one."""

import socket
import threading
from collections.abc import Callable

from service.config import ApiConfig
from service.crypto import Sealer
from service.database.engine.first_connection import check_first
from service.database.security.key_checks import check_key
from service.errors import ConfigurationError

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


def check_encryption_key(config: ApiConfig, say: Callable[[str], None]) -> None:
    """Waits for the database if need be, and says why. Raises ConfigurationError.

    Uses a connection of its own, closed at the end, so that it may run before a fork.
    """
    sealer = Sealer(config.encryption_key, config.old_encryption_keys)
    check_first(
        config.database,
        "millgate-api-start",
        lambda executor: check_key(executor, sealer, will_seal=True),
        wait_s=DATABASE_WAIT_S,
        say=say,
        pause=threading.Event().wait,
    )
