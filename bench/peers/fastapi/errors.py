"""All errors, and their HTTP responses."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from bench.peers.fastapi.schemas import ErrorBody, ErrorDetail, ErrorResponse

log = logging.getLogger("peer")
INVALID = "The request is not valid."
MESSAGES = {
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "extra_forbidden": "unknown field",
    "missing": "is required",
}
STATUSES = {404: ("NOT_FOUND", "Not found."), 405: ("METHOD_NOT_ALLOWED", "Method Not Allowed")}


class ApiError(Exception):
    """An error response."""

    def __init__(
        self, status: int, code: str, message: str, details: list[ErrorDetail] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details or []


def gateway_not_found() -> ApiError:
    """404."""
    return ApiError(404, "GATEWAY_NOT_FOUND", "Gateway not found.")


def factory_unknown() -> ApiError:
    """400."""
    detail = ErrorDetail(field="factory_id", message="does not exist", type="unknown")
    return ApiError(400, "VALIDATION_ERROR", INVALID, [detail])


def gateway_id_taken() -> ApiError:
    """409."""
    detail = ErrorDetail(field="gateway_id", message="is taken by another gateway", type="conflict")
    message = "Another gateway has this gateway_id."
    return ApiError(409, "GATEWAY_ID_CONFLICT", message, [detail])


def precondition_failed() -> ApiError:
    """412."""
    message = "The resource has changed. Fetch it again and retry."
    return ApiError(412, "PRECONDITION_FAILED", message)


def handle_errors(app: FastAPI) -> None:
    """Registers the error handlers of this module."""
    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_crash)


async def on_api_error(request: Request, error: ApiError) -> Response:
    """Answers an ApiError."""
    return answer(request, error)


async def on_invalid_request(request: Request, error: RequestValidationError) -> Response:
    """Answers a validation error."""
    mistakes = error.errors()
    if mistakes[0]["type"] == "json_invalid":
        detail = ErrorDetail(field="body", message="is not valid JSON", type="json_invalid")
        return answer(request, ApiError(400, "INVALID_JSON", "The body is not valid JSON.", [detail]))
    details = [
        ErrorDetail(
            field=".".join(str(step) for step in mistake["loc"][1:]) or str(mistake["loc"][0]),
            message=MESSAGES.get(mistake["type"], mistake["msg"]),
            type=mistake["type"],
        )
        for mistake in mistakes
    ]
    return answer(request, ApiError(400, "VALIDATION_ERROR", INVALID, details))


async def on_http_error(request: Request, error: HTTPException) -> Response:
    """Answers Starlette's HTTP errors."""
    code, message = STATUSES.get(error.status_code, ("BAD_REQUEST", str(error.detail)))
    return answer(request, ApiError(error.status_code, code, message))


async def on_crash(request: Request, error: Exception) -> Response:
    """Answers and logs an unhandled exception."""
    log.error("a request crashed: a bug", exc_info=error)
    message = "Internal error. It was logged under this request_id."
    return answer(request, ApiError(500, "INTERNAL_ERROR", message))


def answer(request: Request, error: ApiError) -> Response:
    """Returns the body that all errors share."""
    body = ErrorResponse(
        error=ErrorBody(
            code=error.code,
            message=error.message,
            details=error.details,
            request_id=request.state.request_id,
        )
    )
    return Response(body.model_dump_json(), error.status, media_type="application/json")
