"""Every error that Millgate raises on purpose."""

from collections.abc import Mapping, Sequence


class MillgateError(Exception):
    """Base of every error that Millgate raises on purpose."""


class ConfigurationError(MillgateError):
    """A setting is missing or invalid; the message is one line for the operator."""


class SealError(MillgateError):
    """A sealed value does not open: wrong key, wrong row or changed bytes."""


class DatabaseError(MillgateError):
    """PostgreSQL rejected a statement for an unexpected reason."""


class DatabaseUnavailableError(DatabaseError):
    """PostgreSQL is unreachable or did not respond in time; whether the statement took effect is unknown."""


class DatabaseTimeoutError(DatabaseUnavailableError):
    """PostgreSQL cancelled a statement that ran or waited for a lock too long; it changed nothing."""


class OverloadedError(DatabaseUnavailableError):
    """Too many requests wait for a database connection. Nothing was done."""


class DatabaseHeldError(MillgateError):
    """The database is a copy that was not taken over: no worker may use it."""


class FactoryNotFoundError(MillgateError):
    """No live factory has this id."""


class GatewayNotFoundError(MillgateError):
    """No live gateway has this id."""


class OrganizationUnknownError(MillgateError):
    """A factory names an organization that does not exist."""


class FactoryUnknownError(MillgateError):
    """A gateway names a factory that does not exist or is deleted."""


class GatewayIdConflictError(MillgateError):
    """Another live gateway has this gateway_id."""


class FactoryDeletedError(MillgateError):
    """A gateway cannot be restored while its factory is deleted."""


class GatewayIdsTakenError(GatewayIdConflictError):
    """Gateways cannot be restored: others have their gateway_ids now. Long lists are cut short."""

    def __init__(self, gateway_ids: Sequence[str]) -> None:
        super().__init__("other gateways are registered under these gateway_ids")
        self.gateway_ids = gateway_ids


class PreconditionFailedError(MillgateError):
    """The row no longer matches the precondition; nothing was changed."""


class TokenNotFoundError(MillgateError):
    """No valid API token has this name."""


class TokenNameConflictError(MillgateError):
    """Another valid API token has this name."""


class UnauthorizedError(MillgateError):
    """A request without a valid token. `is_given`: it had an invalid one."""

    def __init__(self, *, is_given: bool) -> None:
        super().__init__("unauthorized")
        self.is_given = is_given


class ScopeTooSmallError(MillgateError):
    """The token is valid but its scope does not allow this."""


class TooManyFailuresError(MillgateError):
    """Rate limit: too many failed authentications from this address."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many failures")
        self.retry_after_s = retry_after_s


class MetricsUnavailableError(MillgateError):
    """The metrics of the API's processes cannot be read right now."""


class NoWorkerError(MillgateError):
    """No worker was available in time to run a connection test."""


class TooManyConnectionTestsError(MillgateError):
    """The limit of concurrent connection tests is reached."""


class ConnectionTestLostError(MillgateError):
    """A connection test was interrupted and has no result."""


class InvalidRequestError(MillgateError):
    """A body, query or path is invalid; the details never contain what was sent."""

    def __init__(self, code: str, message: str, details: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class EventCursorExpiredError(MillgateError):
    """Events after this cursor have been deleted."""


class TooManyWaitingError(MillgateError):
    """The limit of requests waiting for events in this process is reached."""


class ShuttingDownError(MillgateError):
    """This process is stopping and starts nothing that takes long."""


class ImportTooBigError(MillgateError):
    """An import file has too many rows or bytes."""


class TooManyImportsError(MillgateError):
    """The limit of concurrent imports is reached."""


class MisdirectedRequestError(MillgateError):
    """The Host header names a host that this server does not serve."""


class CrossOriginError(MillgateError):
    """A write from a page of another origin that is not in CORS_ORIGINS."""


class NotReadyError(MillgateError):
    """The service is not ready; the details say why."""

    def __init__(self, details: Sequence[Mapping[str, str]]) -> None:
        super().__init__("not ready")
        self.details = details
