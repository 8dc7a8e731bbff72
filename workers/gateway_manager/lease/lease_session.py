"""The database session that a worker registers with, and what its failures mean for the lease."""

from contextlib import suppress

import psycopg

from service.config import DatabaseConfig
from service.database.engine.pool import Connection, ConnectionExecutor, connect
from service.database.engine.timeout_connection import has_pending_input
from service.database.observed.workers import WorkerRepository
from service.errors import DatabaseError
from workers.gateway_manager.lease.database_probe import is_refusing
from workers.gateway_manager.lease.expiry import Evidence, evidence_of_failure


class LeaseSession:
    """Owns a connection to the database, opened when it is needed. For one thread."""

    def __init__(self, database: DatabaseConfig) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._tracks_activity = False
        self.is_registered = False
        """Whether the worker's row names this connection as its session."""

    def open(self) -> WorkerRepository:
        """The repository on this session. Raises DatabaseError, psycopg.Error."""
        if self._connection is None:
            self._connection = connect(self._database, "millgate-lease")
            # Without it the server does not record when a session was last active.
            [tracks] = self._connection.execute("SHOW track_activities").fetchone() or [""]
            self._tracks_activity = tracks == "on"
        return WorkerRepository(ConnectionExecutor(self._connection))

    def close(self) -> None:
        """Ends the session, if there is one."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None
        self.is_registered = False

    @property
    def is_connected(self) -> bool:
        """Whether the session is open, as far as this side knows."""
        return self._connection is not None and not self._connection.closed

    def has_ended(self) -> bool:
        """Whether the server has sent something unasked: it is closing the session."""
        connection = self._connection
        return connection is not None and not connection.closed and has_pending_input(connection)

    def evidence_of(self, error: DatabaseError | psycopg.Error) -> Evidence:
        """What this error of a statement says about the database. May try to connect to it."""
        return evidence_of_failure(
            is_connected=self.is_connected,
            was_answered=was_answered(error),
            is_registered=self.is_registered,
            tracks_activity=self._tracks_activity,
            is_refused=not self.is_connected and is_refusing(self._database.url),
        )


def was_answered(error: DatabaseError | psycopg.Error) -> bool:
    """Whether the server sent this error."""
    source = error.__cause__ if isinstance(error, DatabaseError) else error
    return isinstance(source, psycopg.Error) and source.sqlstate is not None
