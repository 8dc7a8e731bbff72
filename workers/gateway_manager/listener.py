"""Hears that gateways were changed. A hint only: what it misses, the manager finds by itself."""

import logging
import threading
from collections.abc import Callable

import psycopg

from service.config import DatabaseConfig
from service.database.pool import connection_options

log = logging.getLogger(__name__)

_LOOK_AROUND_S = 0.5


class ChangeListener:
    """Owns a thread and a database session of its own."""

    def __init__(self, database: DatabaseConfig, on_change: Callable[[], None]) -> None:
        """`on_change` is called from the listener's thread, also after each (re)connect."""
        self._database = database
        self._on_change = on_change
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Starts listening."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error:
                # The lease tells that the database is away; this only comes back.
                self._stopping.wait(_LOOK_AROUND_S)

    def _listen(self) -> None:
        options = connection_options(self._database, "millgate-listener")
        with psycopg.connect(self._database.url, **options) as connection:
            connection.execute("LISTEN gateways_changed")
            self._on_change()
            while not self._stopping.is_set():
                for _ in connection.notifies(timeout=_LOOK_AROUND_S, stop_after=1):
                    self._on_change()
