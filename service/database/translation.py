"""The border: psycopg's errors become ours here, by constraint name. Bugs of ours pass through untouched."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from service.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    FactoryUnknownError,
    GatewayIdConflictError,
    MillgateError,
    OrganizationUnknownError,
    TokenNameConflictError,
)

_BY_CONSTRAINT: dict[str, tuple[type[MillgateError], str]] = {
    "gateways_live_gateway_id_key": (
        GatewayIdConflictError,
        "another gateway is registered under this gateway_id",
    ),
    "api_tokens_live_name_key": (TokenNameConflictError, "another token has this name"),
    "gateways_factory_id_fkey": (FactoryUnknownError, "there is no such factory"),
    "factories_organization_id_fkey": (OrganizationUnknownError, "there is no such organization"),
}

# Refused for the moment: the server stops, starts, is full, or gave up on a statement or a lock.
_PASSING = (
    pg.QueryCanceled,
    pg.LockNotAvailable,
    pg.DeadlockDetected,
    pg.SerializationFailure,
    pg.ReadOnlySqlTransaction,
    pg.InsufficientResources,
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises our errors in place of psycopg's; their messages carry no SQL, host name or value."""
    try:
        yield
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise DatabaseUnavailableError("no connection to the database became free in time") from error
    except psycopg.IntegrityError as error:
        constraint = error.diag.constraint_name or ""
        kind, message = _BY_CONSTRAINT.get(
            constraint, (DatabaseError, f"the database refused the data ({error.sqlstate} {constraint})")
        )
        # Without the cause: PostgreSQL's detail shows the row that was refused, sealed password included.
        raise kind(message) from None
    except _PASSING as error:
        raise DatabaseUnavailableError("the database could not do it now") from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError("the database can not be reached") from error
    except pg.UndefinedTable:
        raise DatabaseError("a table is not there: the database has to be migrated") from None
    except (psycopg.DataError, psycopg.InternalError) as error:
        raise DatabaseError(f"the database refused the statement ({error.sqlstate})") from None
