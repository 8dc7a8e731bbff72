"""The one place where errors become HTTP: a status, a code and a message that is safe to show."""

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from flask import Flask, Response
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from pydantic import TypeAdapter
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed

from service.api.schemas.errors import ErrorBody, ErrorDetail, ErrorResponse
from service.api.web.malformed_requests import of_unfinished, problem_of
from service.api.web.request_id import request_id
from service.api.web.responses import respond
from service.errors import (
    ConnectionTestLostError,
    CrossOriginError,
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    EventCursorExpiredError,
    FactoryDeletedError,
    FactoryNotFoundError,
    FactoryUnknownError,
    GatewayIdConflictError,
    GatewayIdsTakenError,
    GatewayNotFoundError,
    ImportTooBigError,
    InvalidRequestError,
    MetricsUnavailableError,
    MillgateError,
    MisdirectedRequestError,
    NotReadyError,
    NoWorkerError,
    OrganizationUnknownError,
    OverloadedError,
    PreconditionFailedError,
    ScopeTooSmallError,
    ShuttingDownError,
    TooManyConnectionTestsError,
    TooManyFailuresError,
    TooManyImportsError,
    TooManyWaitingError,
    UnauthorizedError,
)

log = logging.getLogger("millgate.api")
Details = Sequence[Mapping[str, str]]
_DETAILS = TypeAdapter(list[ErrorDetail])
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Problem(NamedTuple):
    """What clients see of an error (compare RFC 9457)."""

    status: int
    code: str
    message: str
    details: Details = ()
    headers: Mapping[str, str] = _NO_HEADERS


Writer = Callable[[Problem], Response]
"""Writes a problem as a response, whose other headers are set afterwards."""
INVALID = "The request is not valid."
INTERNAL_ERROR = Problem(500, "INTERNAL_ERROR", "Internal error. It was logged under this request_id.")
CHALLENGE = 'Bearer realm="millgate"'
UNAUTHORIZED = "A valid API token is required: Authorization: Bearer <token>."
TOO_MANY_FAILURES = "Too many requests without a valid token. Retry after the time in Retry-After."
MALFORMED_REQUEST = Problem(400, "BAD_REQUEST", "The request could not be read.")

PROBLEMS: dict[type[MillgateError], Problem] = {
    CrossOriginError: Problem(
        403, "CROSS_ORIGIN", "Writes from other origins are refused. Add the origin to CORS_ORIGINS."
    ),
    MisdirectedRequestError: Problem(
        421, "MISDIRECTED_REQUEST", "This server does not serve this host. Add it to ALLOWED_HOSTS."
    ),
    FactoryDeletedError: Problem(
        409, "FACTORY_DELETED", "The gateway's factory is deleted. Restore the factory first."
    ),
    FactoryNotFoundError: Problem(404, "FACTORY_NOT_FOUND", "Factory not found."),
    GatewayNotFoundError: Problem(404, "GATEWAY_NOT_FOUND", "Gateway not found."),
    GatewayIdConflictError: Problem(
        409,
        "GATEWAY_ID_CONFLICT",
        "Another gateway has this gateway_id.",
        [{"field": "gateway_id", "message": "is taken by another gateway", "type": "conflict"}],
    ),
    FactoryUnknownError: Problem(
        400,
        "VALIDATION_ERROR",
        INVALID,
        [{"field": "factory_id", "message": "does not exist", "type": "unknown"}],
    ),
    OrganizationUnknownError: Problem(
        400,
        "VALIDATION_ERROR",
        INVALID,
        [{"field": "organization_id", "message": "does not exist", "type": "unknown"}],
    ),
    PreconditionFailedError: Problem(
        412, "PRECONDITION_FAILED", "The resource has changed. Fetch it again and retry."
    ),
    ScopeTooSmallError: Problem(
        403,
        "FORBIDDEN",
        "This token is read-only.",
        headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="write"'},
    ),
    MetricsUnavailableError: Problem(
        503,
        "METRICS_UNAVAILABLE",
        "The metrics cannot be read right now. Try again shortly.",
        headers={"Retry-After": "5"},
    ),
    NoWorkerError: Problem(
        503,
        "NO_WORKER",
        "No worker is available to run the test. Try again shortly.",
        headers={"Retry-After": "5"},
    ),
    TooManyConnectionTestsError: Problem(
        429,
        "TOO_MANY_CONNECTION_TESTS",
        "Too many connection tests are running. Retry after the time in Retry-After.",
        headers={"Retry-After": "5"},
    ),
    ConnectionTestLostError: Problem(
        504, "CONNECTION_TEST_LOST", "The test was interrupted and has no result. Try again."
    ),
    EventCursorExpiredError: Problem(
        410,
        "CURSOR_EXPIRED",
        "This cursor has expired: events after it have been deleted. "
        "Start again without a cursor and re-read the gateways.",
    ),
    TooManyWaitingError: Problem(
        503,
        "TOO_MANY_WAITING",
        "Too many requests are waiting for events. Retry after the time in Retry-After.",
        headers={"Retry-After": "5"},
    ),
    ShuttingDownError: Problem(
        503,
        "SHUTTING_DOWN",
        "The service is stopping. Retry after the time in Retry-After.",
        headers={"Retry-After": "1"},
    ),
    ImportTooBigError: Problem(
        413, "PAYLOAD_TOO_LARGE", "The file is too large: at most 10,000 rows, 16 MiB, and 256 KiB per line."
    ),
    TooManyImportsError: Problem(
        429,
        "TOO_MANY_IMPORTS",
        "Too many imports are running. Retry after the time in Retry-After.",
        headers={"Retry-After": "5"},
    ),
    OverloadedError: Problem(
        503,
        "OVERLOADED",
        "Too many requests are waiting for the database. Retry after the time in Retry-After.",
        headers={"Retry-After": "1"},
    ),
    DatabaseUnavailableError: Problem(
        500, "DATABASE_UNAVAILABLE", "The database is not responding. Try again shortly."
    ),
    DatabaseTimeoutError: Problem(500, "DATABASE_TIMEOUT", "The database timed out. Nothing was changed."),
    DatabaseError: Problem(500, "DATABASE_ERROR", "Database error."),
}

_CODES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL_ERROR",
}
_TOLD_HEADERS = frozenset({"Accept", "Accept-Encoding", "Accept-Patch"})
_MESSAGES = {404: "Not found.", 413: "The body is too large: at most 1 MiB."}


def problem_for(error: MillgateError) -> Problem | None:
    """The problem that clients see for an error; None for one that no request should raise."""
    if isinstance(error, InvalidRequestError):
        return Problem(400, error.code, error.message, error.details)
    if isinstance(error, UnauthorizedError):
        # RFC 6750, section 3: no error code where nothing was given.
        challenge = f'{CHALLENGE}, error="invalid_token"' if error.is_given else CHALLENGE
        return Problem(401, "UNAUTHORIZED", UNAUTHORIZED, headers={"WWW-Authenticate": challenge})
    if isinstance(error, TooManyFailuresError):
        retry_after = {"Retry-After": str(math.ceil(error.retry_after_s))}
        return Problem(429, "TOO_MANY_FAILURES", TOO_MANY_FAILURES, headers=retry_after)
    if isinstance(error, NotReadyError):
        return Problem(
            503, "NOT_READY", "The service is not ready.", error.details, headers={"Retry-After": "5"}
        )
    if isinstance(error, GatewayIdsTakenError):
        return PROBLEMS[GatewayIdConflictError]._replace(details=_taken(error.gateway_ids))
    return next((PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS), None)


def _taken(gateway_ids: Sequence[str]) -> Details:
    return [
        {"field": "gateway_id", "message": f"{gateway_id} is taken by another gateway", "type": "conflict"}
        for gateway_id in gateway_ids
    ]


def malformed_request(error: Exception) -> Problem:
    """The problem for bytes that gunicorn could not parse."""
    return MALFORMED_REQUEST._replace(message=problem_of(error) or MALFORMED_REQUEST.message)


def problem_for_status(status: int, words: str) -> Problem:
    """What one of werkzeug's errors looks like; `words` are for a status that we have none for."""
    code = _CODES.get(status) or re.sub(r"\W+", "_", words.upper())
    return Problem(status, code, _MESSAGES.get(status, words))


def render(answer: Problem, request: str) -> ErrorResponse:
    """The body of an answer to a request with this id."""
    return ErrorResponse(
        error=ErrorBody(
            code=answer.code,
            message=answer.message,
            details=_DETAILS.validate_python(answer.details),
            request_id=request,
        )
    )


def write_json(answer: Problem) -> Response:
    """A problem as programs read it."""
    return respond(render(answer, request_id()), answer.status)


def handle_errors(app: Flask, write: Writer = write_json) -> None:
    """Sends every error of an application through this module; `write` makes its body."""
    app.register_error_handler(MillgateError, partial(_on_our_error, write))
    app.register_error_handler(HTTPException, partial(_on_http_error, write))
    app.register_error_handler(ParseException, partial(_on_unreadable_body, write))
    app.register_error_handler(Exception, partial(_on_crash, write))


def _on_our_error(write: Writer, error: MillgateError) -> Response:
    answer = problem_for(error)
    if answer is None:
        return _on_crash(write, error)
    if isinstance(error, DatabaseError):
        log.error(
            "request failed: %s; the client was answered %d %s; check PostgreSQL, see"
            " docs/runbook.md#database-away",
            error,
            answer.status,
            answer.code,
            extra={"request_id": request_id(), "reason": type(error).__name__},
        )
    return _respond(write, answer)


def _on_http_error(write: Writer, error: HTTPException) -> Response:
    if isinstance(error, ClientDisconnected):
        error = of_unfinished(error)
    status = error.code or 500
    words = (error.description or error.name) if status in {400, 408, 415} else error.name
    response = _respond(write, problem_for_status(status, words))
    response.headers.extend(item for item in error.get_headers() if item[0] in _TOLD_HEADERS)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _on_unreadable_body(write: Writer, error: Exception) -> Response:
    return _respond(write, malformed_request(error))


def _on_crash(write: Writer, error: Exception) -> Response:
    log.error(
        "unhandled exception in a request; the client was answered 500; report the traceback, see"
        " docs/runbook.md#internal-errors",
        exc_info=error,
        extra={"request_id": request_id()},
    )
    return _respond(write, INTERNAL_ERROR)


def _respond(write: Writer, answer: Problem) -> Response:
    response = write(answer)
    response.headers.update(answer.headers)
    return response
