"""Errors as pages: the same status and words as the API's, and no claim about any gateway."""

import logging

from flask import Blueprint, Response, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from service.api.web.errors import INTERNAL_ERROR, Problem, problem_for, problem_for_status
from service.api.web.request_id import request_id
from service.errors import DatabaseError, MillgateError, UnauthorizedError
from service.web.rendering import go_to, is_fragment, render_page

log = logging.getLogger("millgate.api")
_OLD_FORM = "This form is too old, or is of another page. Nothing was changed: reload it and try again."


def handle_errors(pages: Blueprint) -> None:
    """Sends every error of a page through this module."""
    pages.register_error_handler(MillgateError, _on_our_error)
    pages.register_error_handler(HTTPException, _on_http_error)
    pages.register_error_handler(Exception, _on_crash)


def _on_our_error(error: MillgateError) -> Response:
    problem = problem_for(error)
    if problem is None:
        return _on_crash(error)
    if isinstance(error, UnauthorizedError) and request.method == "GET" and not is_fragment():
        return go_to("web.session.login", next=request.full_path.rstrip("?"))
    if isinstance(error, DatabaseError):
        log.error(
            "page failed: %s; check PostgreSQL, see docs/runbook.md#database-away",
            error,
            extra={"request_id": request_id()},
        )
    return _page(problem, is_blind=isinstance(error, DatabaseError))


def _on_http_error(error: HTTPException) -> Response:
    if isinstance(error, CSRFError):
        return _page(Problem(400, "CSRF_FAILED", _OLD_FORM))
    return _page(problem_for_status(error.code or 500, error.name))


def _on_crash(error: Exception) -> Response:
    log.error(
        "unhandled exception in a page; report the traceback, see docs/runbook.md#internal-errors",
        exc_info=error,
        extra={"request_id": request_id()},
    )
    return _page(INTERNAL_ERROR)


def _page(problem: Problem, *, is_blind: bool = False) -> Response:
    """`is_blind`: Millgate cannot see its database."""
    response = render_page(
        "error.html", problem.status, problem=problem, is_blind=is_blind, request_id=request_id()
    )
    response.headers.update(problem.headers)
    return response
