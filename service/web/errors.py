"""Errors as pages: the same status and words as the API's, and no claim about any gateway."""

from flask import Response, g, request

from service.api.web.errors import PROBLEMS, Problem, write_json
from service.api.web.request_id import request_id
from service.errors import DatabaseError, InvalidRequestError
from service.web.rendering import finish, go_to, is_fragment, is_page, render_page

# Of these nothing is known of any gateway.
_BLIND = frozenset(problem.code for error, problem in PROBLEMS.items() if issubclass(error, DatabaseError))


def old_form() -> InvalidRequestError:
    """The refusal of a form without a valid CSRF token."""
    return InvalidRequestError(
        "CSRF_FAILED",
        "This form is too old, or is of another page. Nothing was changed: reload it and try again.",
    )


def write_error(problem: Problem) -> Response:
    """A page for people, the API's body for programs; who has no session is led to the login."""
    if not is_page():
        return write_json(problem)
    if problem.status == 401 and request.method == "GET" and not is_fragment():
        return go_to("web.session.login", next=request.full_path.rstrip("?"))
    is_blind = problem.code in _BLIND
    g.facts = None
    return finish(
        render_page("error.html", problem.status, problem=problem, is_blind=is_blind, request_id=request_id())
    )
