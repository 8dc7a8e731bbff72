"""List the application's operations: their paths, tokens and error responses."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from flask import Flask
from werkzeug.routing import Rule

from service.api.middleware.authentication import OPEN_BLUEPRINTS, READINESS, asks_for_tokens
from service.api.openapi.operation import Operation, ProblemSource, operation_of
from service.api.server.client_socket import STALL_TIMEOUT_S
from service.api.server.error_responses import SERVER_ERRORS
from service.api.web.errors import INTERNAL_ERROR, MALFORMED_REQUEST, Problem, problem_for, problem_for_status
from service.api.web.validation_errors import detail, invalid
from service.errors import (
    CrossOriginError,
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    InvalidRequestError,
    MisdirectedRequestError,
    OverloadedError,
    PreconditionFailedError,
    ScopeTooSmallError,
    TooManyFailuresError,
    UnauthorizedError,
)
from service.tokens import Scope, covers

_AUTOMATIC = frozenset({"HEAD", "OPTIONS"})
_PAGES = re.compile(r"/(ui(/.*)?)?")
_PARAMETER = re.compile(r"<\w+_id>")

_ALWAYS: tuple[ProblemSource, ...] = (
    invalid([detail("surprise", "unknown field", "extra_forbidden")]),
    MALFORMED_REQUEST,
    INTERNAL_ERROR,
    MisdirectedRequestError,
    *SERVER_ERRORS,
)
NO_SUCH_METHOD = problem_for_status(405, "Method Not Allowed")._replace(
    headers={"Allow": "GET, HEAD, OPTIONS"}
)
"""Of paths that there are."""
_OF_THE_DATABASE: tuple[ProblemSource, ...] = (
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    OverloadedError,
)
_OF_TOKENS: tuple[ProblemSource, ...] = (UnauthorizedError(is_given=False), TooManyFailuresError(3.0))
_OF_A_BODY: tuple[ProblemSource, ...] = (
    InvalidRequestError(
        "INVALID_JSON",
        "The body is not valid JSON.",
        [detail("body", "Invalid JSON: EOF while parsing a value at line 1 column 0", "json_invalid")],
    ),
    problem_for_status(408, f"The body paused for {STALL_TIMEOUT_S:.0f} s."),
    problem_for_status(413, ""),
    problem_for_status(415, "The body must be application/json."),
)


class RouteOperation(NamedTuple):
    """An operation where it is: its method, its path as OpenAPI writes it, and its name in Flask."""

    method: str
    path: str
    endpoint: str
    name: str
    operation: Operation
    security: list[dict[str, list[str]]]
    """Which tokens it needs, as OpenAPI writes it: none, one, or either."""

    @property
    def tag(self) -> str:
        """The blueprint that it is of."""
        return self.endpoint.partition(".")[0]


def is_page(rule: Rule) -> bool:
    """Whether a route leads to a page for people, which the document does not describe."""
    return _PAGES.fullmatch(rule.rule) is not None


def iter_operations(app: Flask) -> Iterator[RouteOperation]:
    """Every operation of an application. Raises ValueError for a route that says nothing of itself."""
    for rule in app.url_map.iter_rules():
        if is_page(rule):
            continue
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is None:
            raise ValueError(f"{rule.endpoint} is not described")
        if not operation.include_in_schema:
            continue
        path = _PARAMETER.sub("{id}", rule.rule)
        methods = sorted((rule.methods or set()) - _AUTOMATIC)
        for method in methods:
            name = operation.name if method == methods[0] else f"{operation.name}_by_{method.lower()}"
            security = _security_of(rule.endpoint) if asks_for_tokens(app) else []
            yield RouteOperation(method, path, rule.endpoint, name, operation, security)


def _security_of(endpoint: str) -> list[dict[str, list[str]]]:
    if endpoint == READINESS:
        return [{}, {"token": []}]
    return [] if endpoint.partition(".")[0] in OPEN_BLUEPRINTS else [{"token": []}]


def error_responses_for(one: RouteOperation) -> list[Problem]:
    """Every refusal that an operation may give, by status: an example each."""
    found = [*_ALWAYS]
    if one.operation.uses_database:
        found += _OF_THE_DATABASE
    if one.operation.body is not None:
        found += _OF_A_BODY
    if one.operation.condition is not None:
        found.append(PreconditionFailedError)
    if not covers(Scope.READ, one.method):
        found.append(CrossOriginError)
    if one.security:
        found += _OF_TOKENS
    if one.security and not covers(Scope.READ, one.method):
        found.append(ScopeTooSmallError)
    answers = [_answer(refusal) for refusal in (*found, *one.operation.error_responses)]
    return sorted(answers, key=lambda answer: answer.status)


def _answer(refusal: ProblemSource) -> Problem:
    if isinstance(refusal, Problem):
        return refusal
    answer = problem_for(refusal() if isinstance(refusal, type) else refusal)
    if answer is None:
        raise ValueError(f"{refusal} has no answer")
    return answer
