"""The one place where errors become HTTP: a status, a code, and words that are safe to show to anyone."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from flask import Flask, Response
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from pydantic import TypeAdapter
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed

from service.api.schemas.base import ErrorBody, ErrorDetail, ErrorResponse
from service.api.web.malformed_requests import of_unfinished, problem_of
from service.api.web.request_id import request_id
from service.api.web.responses import respond
from service.errors import (
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
    TooManyFailuresError,
    TooManyImportsError,
    TooManyTrialsError,
    TooManyWaitingError,
    TrialLostError,
    UnauthorizedError,
)

log = logging.getLogger("millgate.api")
Details = Sequence[Mapping[str, str]]
_DETAILS = TypeAdapter(list[ErrorDetail])
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Answer(NamedTuple):
    """What an error looks like from outside."""

    status: int
    code: str
    message: str
    details: Details = ()
    headers: Mapping[str, str] = _NO_HEADERS


INVALID = "The request is not valid."
CRASH = Answer(500, "INTERNAL_ERROR", "Internal error. It was logged under this request_id.")
CHALLENGE = 'Bearer realm="millgate"'
UNAUTHORIZED = "A valid API token is required: Authorization: Bearer <token>."
TOO_MANY_FAILURES = "Too many requests without a valid token. Retry after the time in Retry-After."
BAD_HTTP = Answer(400, "BAD_REQUEST", "The request could not be read.")

ANSWERS: dict[type[MillgateError], Answer] = {
    CrossOriginError: Answer(
        403, "CROSS_ORIGIN", "Writes from other origins are refused. Add the origin to CORS_ORIGINS."
    ),
    MisdirectedRequestError: Answer(
        421, "MISDIRECTED_REQUEST", "This server does not serve this host. Add it to ALLOWED_HOSTS."
    ),
    FactoryDeletedError: Answer(
        409, "FACTORY_DELETED", "The gateway's factory is deleted. Restore the factory first."
    ),
    FactoryNotFoundError: Answer(404, "FACTORY_NOT_FOUND", "Factory not found."),
    GatewayNotFoundError: Answer(404, "GATEWAY_NOT_FOUND", "Gateway not found."),
    GatewayIdConflictError: Answer(
        409,
        "GATEWAY_ID_CONFLICT",
        "Another gateway has this gateway_id.",
        [{"field": "gateway_id", "message": "is taken by another gateway", "type": "conflict"}],
    ),
    FactoryUnknownError: Answer(
        400,
        "VALIDATION_ERROR",
        INVALID,
        [{"field": "factory_id", "message": "does not exist", "type": "unknown"}],
    ),
    OrganizationUnknownError: Answer(
        400,
        "VALIDATION_ERROR",
        INVALID,
        [{"field": "organization_id", "message": "does not exist", "type": "unknown"}],
    ),
    PreconditionFailedError: Answer(
        412, "PRECONDITION_FAILED", "The resource has changed. Fetch it again and retry."
    ),
    ScopeTooSmallError: Answer(
        403,
        "FORBIDDEN",
        "This token is read-only.",
        headers={"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="write"'},
    ),
    MetricsUnavailableError: Answer(
        503,
        "METRICS_UNAVAILABLE",
        "The metrics cannot be read right now. Try again shortly.",
        headers={"Retry-After": "5"},
    ),
    NoWorkerError: Answer(
        503,
        "NO_WORKER",
        "No worker is available to run the test. Try again shortly.",
        headers={"Retry-After": "5"},
    ),
    TooManyTrialsError: Answer(
        429,
        "TOO_MANY_CONNECTION_TESTS",
        "Too many connection tests are running. Retry after the time in Retry-After.",
        headers={"Retry-After": "5"},
    ),
    TrialLostError: Answer(
        504, "CONNECTION_TEST_LOST", "The test was interrupted and has no result. Try again."
    ),
    EventCursorExpiredError: Answer(
        410,
        "CURSOR_EXPIRED",
        "This cursor has expired: events after it have been deleted. "
        "Start again without a cursor and re-read the gateways.",
    ),
    TooManyWaitingError: Answer(
        503,
        "TOO_MANY_WAITING",
        "Too many requests are waiting for events. Retry after the time in Retry-After.",
        headers={"Retry-After": "5"},
    ),
    ShuttingDownError: Answer(
        503,
        "SHUTTING_DOWN",
        "The service is stopping. Retry after the time in Retry-After.",
        headers={"Retry-After": "1"},
    ),
    ImportTooBigError: Answer(
        413, "PAYLOAD_TOO_LARGE", "The file is too large: at most 10,000 rows, 16 MiB, and 256 KiB per line."
    ),
    TooManyImportsError: Answer(
        429,
        "TOO_MANY_IMPORTS",
        "Too many imports are running. Retry after the time in Retry-After.",
        headers={"Retry-After": "5"},
    ),
    OverloadedError: Answer(
        503,
        "OVERLOADED",
        "Too many requests are waiting for the database. Retry after the time in Retry-After.",
        headers={"Retry-After": "1"},
    ),
    DatabaseUnavailableError: Answer(
        500, "DATABASE_UNAVAILABLE", "The database is not responding. Try again shortly."
    ),
    DatabaseTimeoutError: Answer(500, "DATABASE_TIMEOUT", "The database timed out. Nothing was changed."),
    DatabaseError: Answer(500, "DATABASE_ERROR", "Database error."),
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


def answer_to(error: MillgateError) -> Answer | None:
    """What an error of ours looks like from outside; None for one that no request should ever meet."""
    if isinstance(error, InvalidRequestError):
        return Answer(400, error.code, error.message, error.details)
    if isinstance(error, UnauthorizedError):
        # RFC 6750, section 3: no error code where nothing was given.
        challenge = f'{CHALLENGE}, error="invalid_token"' if error.is_given else CHALLENGE
        return Answer(401, "UNAUTHORIZED", UNAUTHORIZED, headers={"WWW-Authenticate": challenge})
    if isinstance(error, TooManyFailuresError):
        retry_after = {"Retry-After": str(math.ceil(error.retry_after_s))}
        return Answer(429, "TOO_MANY_FAILURES", TOO_MANY_FAILURES, headers=retry_after)
    if isinstance(error, NotReadyError):
        return Answer(
            503, "NOT_READY", "The service is not ready.", error.details, headers={"Retry-After": "5"}
        )
    if isinstance(error, GatewayIdsTakenError):
        return ANSWERS[GatewayIdConflictError]._replace(details=_taken(error.gateway_ids))
    return next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), None)


def _taken(gateway_ids: Sequence[str]) -> Details:
    return [
        {"field": "gateway_id", "message": f"{gateway_id} is taken by another gateway", "type": "conflict"}
        for gateway_id in gateway_ids
    ]


def bad_http(error: Exception) -> Answer:
    """What a client gets whose bytes gunicorn could not read."""
    return BAD_HTTP._replace(message=problem_of(error) or BAD_HTTP.message)


def answer_to_http(status: int, words: str) -> Answer:
    """What one of werkzeug's errors looks like; `words` are for a status that we have none for."""
    code = _CODES.get(status) or re.sub(r"\W+", "_", words.upper())
    return Answer(status, code, _MESSAGES.get(status, words))


def render(answer: Answer, request: str) -> ErrorResponse:
    """The body of an answer to a request with this id."""
    return ErrorResponse(
        error=ErrorBody(
            code=answer.code,
            message=answer.message,
            details=_DETAILS.validate_python(answer.details),
            request_id=request,
        )
    )


def handle_errors(app: Flask) -> None:
    """Sends every error of an application through this module."""
    app.register_error_handler(MillgateError, _on_our_error)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(ParseException, _on_unreadable_body)
    app.register_error_handler(Exception, _on_crash)


def _on_our_error(error: MillgateError) -> Response:
    answer = answer_to(error)
    if answer is None:
        return _on_crash(error)
    if isinstance(error, DatabaseError):
        log.error("request failed: %s", error, extra={"request_id": request_id()})
    return _respond(answer)


def _on_http_error(error: HTTPException) -> Response:
    if isinstance(error, ClientDisconnected):
        error = of_unfinished(error)
    status = error.code or 500
    words = (error.description or error.name) if status in {400, 408, 415} else error.name
    response = _respond(answer_to_http(status, words))
    response.headers.extend(item for item in error.get_headers() if item[0] in _TOLD_HEADERS)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _on_unreadable_body(error: Exception) -> Response:
    return _respond(bad_http(error))


def _on_crash(error: Exception) -> Response:
    log.error("unhandled exception in a request", exc_info=error, extra={"request_id": request_id()})
    return _respond(CRASH)


def _respond(answer: Answer) -> Response:
    response = respond(render(answer, request_id()), answer.status)
    response.headers.update(answer.headers)
    return response
