"""The border: psycopg's errors become ours here, by constraint name. Bugs of ours pass through untouched."""

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from service.database.engine.prepared import OUTDATED
from service.errors import (
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    FactoryUnknownError,
    GatewayIdConflictError,
    MillgateError,
    OrganizationUnknownError,
    OverloadedError,
    TokenNameConflictError,
)

_BY_CONSTRAINT: dict[str, tuple[type[MillgateError], str]] = {
    "gateways_live_device_id_key": (
        GatewayIdConflictError,
        "another gateway is registered under this gateway_id",
    ),
    "api_tokens_live_name_key": (TokenNameConflictError, "another token has this name"),
    "gateways_factory_id_fkey": (FactoryUnknownError, "there is no such factory"),
    "factories_organization_id_fkey": (OrganizationUnknownError, "there is no such organization"),
}

# The server is there, and ended the statement: it, or the lock that it waited for, took too long.
_OUT_OF_TIME = (pg.QueryCanceled, pg.LockNotAvailable)
# Refused for the moment: the server stops, starts, is full, or had to choose between two transactions.
_PASSING = (
    pg.DeadlockDetected,
    pg.SerializationFailure,
    pg.ReadOnlySqlTransaction,
    pg.InsufficientResources,
    *OUTDATED,
)


class map_errors:  # noqa: N801 - reads as what it does, where it is used
    """Raises our errors in place of psycopg's; their messages carry no SQL, host name or value.

    A class, since a generator would cost a quarter of what a short statement does.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        """Raises MillgateError in place of what the block raised, if that is the database's."""
        if isinstance(error, psycopg.Error):
            _raise_ours(error)


def _raise_ours(error: psycopg.Error) -> None:
    if isinstance(error, TooManyRequests):
        raise OverloadedError("too many wait for a connection to the database") from error
    if isinstance(error, (PoolTimeout, PoolClosed)):
        raise DatabaseUnavailableError("no connection to the database became free in time") from error
    if isinstance(error, psycopg.IntegrityError):
        constraint = error.diag.constraint_name or ""
        kind, message = _BY_CONSTRAINT.get(
            constraint, (DatabaseError, f"the database refused the data ({error.sqlstate} {constraint})")
        )
        # Without the cause: PostgreSQL's detail shows the row that was refused, sealed password included.
        raise kind(message) from None
    if isinstance(error, _OUT_OF_TIME):
        raise DatabaseTimeoutError("the database did not finish a statement in time") from error
    if isinstance(error, _PASSING):
        raise DatabaseUnavailableError("the database could not do it now") from error
    if isinstance(error, psycopg.OperationalError):
        raise DatabaseUnavailableError("the database cannot be reached") from error
    if isinstance(error, pg.UndefinedTable):
        raise DatabaseError("a table is not there: the database has to be migrated") from None
    if isinstance(error, (psycopg.DataError, psycopg.InternalError)):
        raise DatabaseError(f"the database refused the statement ({error.sqlstate})") from None
