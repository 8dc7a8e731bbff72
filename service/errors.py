"""Every error that we raise on purpose, in one small tree."""

from collections.abc import Mapping, Sequence


class MillgateError(Exception):
    """The root: catch this for anything that we raise on purpose."""


class ConfigurationError(MillgateError):
    """A setting is absent or wrong; the message is one line for whoever starts the process."""


class SealError(MillgateError):
    """A sealed value does not open: another key, another row, or changed bytes."""


class DatabaseError(MillgateError):
    """PostgreSQL refused a statement for a reason that no caller could have foreseen."""


class DatabaseUnavailableError(DatabaseError):
    """PostgreSQL can not be reached, or gave no answer in time; what the statement did is not known."""


class DatabaseTimeoutError(DatabaseUnavailableError):
    """PostgreSQL ended a statement that took too long, or waited too long for a lock; it changed nothing."""


class OverloadedError(DatabaseUnavailableError):
    """So many wait for a connection to the database that this one would wait in vain. Nothing was done."""


class FactoryNotFoundError(MillgateError):
    """No live factory has this id."""


class GatewayNotFoundError(MillgateError):
    """No live gateway has this id."""


class OrganizationUnknownError(MillgateError):
    """A factory names an organization that is not there."""


class FactoryUnknownError(MillgateError):
    """A gateway names a factory that is not there, or no longer."""


class GatewayIdConflictError(MillgateError):
    """Another live gateway has this gateway_id."""


class FactoryDeletedError(MillgateError):
    """A gateway can not be restored while its factory is deleted."""


class GatewayIdsTakenError(GatewayIdConflictError):
    """Gateways can not be restored: others have their gateway_ids now. Not all of many are named."""

    def __init__(self, gateway_ids: Sequence[str]) -> None:
        super().__init__("other gateways are registered under these gateway_ids")
        self.gateway_ids = gateway_ids


class PreconditionFailedError(MillgateError):
    """The row is not in the state that the caller made a condition of; nothing was changed."""


class TokenNotFoundError(MillgateError):
    """No API token that was not revoked has this name."""


class TokenNameConflictError(MillgateError):
    """Another API token has this name, and was not revoked."""


class UnauthorizedError(MillgateError):
    """A request without a good token. `is_given`: it came with something in its place."""

    def __init__(self, *, is_given: bool) -> None:
        super().__init__("unauthorized")
        self.is_given = is_given


class ScopeTooSmallError(MillgateError):
    """A good token, but not one for this."""


class TooManyFailuresError(MillgateError):
    """Nobody from this address is listened to without a good token, for this many seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many failures")
        self.retry_after_s = retry_after_s


class MetricsUnavailableError(MillgateError):
    """The numbers of the API's processes can not be read at the moment."""


class NoWorkerError(MillgateError):
    """No worker is there that could try a gateway out, or none was free in time."""


class TooManyConnectionTestsError(MillgateError):
    """As many gateways as may be are being tried out already."""


class ConnectionTestLostError(MillgateError):
    """A gateway was being tried out, and nobody will ever know what came of it."""


class InvalidRequestError(MillgateError):
    """A body, query or path that is not what it has to be; the details never carry what was sent."""

    def __init__(self, code: str, message: str, details: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class EventCursorExpiredError(MillgateError):
    """What was behind a place in the stream of events is not all there any more."""


class TooManyWaitingError(MillgateError):
    """As many requests as may are waiting for events in this process."""


class ShuttingDownError(MillgateError):
    """This process stops: nothing that takes long is begun any more."""


class ImportTooBigError(MillgateError):
    """A file to import has more rows or bytes than one may have."""


class TooManyImportsError(MillgateError):
    """As many files as there is room for are being imported."""


class MisdirectedRequestError(MillgateError):
    """The Host header names a host that this server does not answer for."""


class CrossOriginError(MillgateError):
    """A write from a page of another origin that is not in CORS_ORIGINS."""


class NotReadyError(MillgateError):
    """Something without which the service cannot keep its promises is not there; the details name it."""

    def __init__(self, details: Sequence[Mapping[str, str]]) -> None:
        super().__init__("not ready")
        self.details = details
