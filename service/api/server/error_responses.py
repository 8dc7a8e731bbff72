"""Responses to what never reaches the application."""

from gunicorn.http.errors import (  # type: ignore[import-untyped]
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from service.api.web.errors import INTERNAL_ERROR, MALFORMED_REQUEST, Problem, malformed_request, render
from service.api.web.request_id import HEADER

_ANSWERS: dict[type[Exception], Problem] = {
    ExpectationFailed: Problem(417, "EXPECTATION_FAILED", "This Expect header is not supported."),
    InvalidResponseHeader: INTERNAL_ERROR,
    InvalidResponseHeaderName: INTERNAL_ERROR,
    LimitRequestHeaders: Problem(431, "HEADERS_TOO_LARGE", "The headers are too many or too large."),
    LimitRequestLine: Problem(414, "URI_TOO_LONG", "The path and query are too long."),
    UnsupportedTransferCoding: Problem(501, "NOT_IMPLEMENTED", "This transfer coding is not supported."),
    ParseException: MALFORMED_REQUEST,
}


SERVER_ERRORS = tuple(
    answer for answer in _ANSWERS.values() if answer is not INTERNAL_ERROR and answer is not MALFORMED_REQUEST
)
"""What any request may be refused with before the application sees it."""


def problem_for_unreadable(error: Exception) -> Problem:
    """What a client gets whose bytes never became a request."""
    answer = next((_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS), INTERNAL_ERROR)
    return malformed_request(error) if answer is MALFORMED_REQUEST else answer


def raw_response(answer: Problem, request_id: str) -> bytes:
    """A whole HTTP response, after which the connection is closed."""
    body = render(answer, request_id).model_dump_json().encode()
    head = (
        f"HTTP/1.1 {answer.status} {answer.code.replace('_', ' ').title()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{HEADER}: {request_id}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
