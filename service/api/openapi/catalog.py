"""The operations that there are, where they are, who may use them, and what they may refuse."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from flask import Flask

from service.api.middleware.authentication import OPEN_BLUEPRINTS, READINESS, asks_for_tokens
from service.api.openapi.operation import Operation, Refusal, operation_of
from service.api.server.client_socket import STALL_TIMEOUT_S
from service.api.server.gunicorn_worker import BEFORE_THE_APPLICATION
from service.api.web.errors import BAD_HTTP, CRASH, Answer, answer_to, answer_to_http
from service.api.web.parsing import detail, invalid
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
_PARAMETER = re.compile(r"<\w+_id>")

_ALWAYS: tuple[Refusal, ...] = (
    invalid([detail("surprise", "unknown field", "extra_forbidden")]),
    BAD_HTTP,
    CRASH,
    MisdirectedRequestError,
    *BEFORE_THE_APPLICATION,
)
NO_SUCH_METHOD = answer_to_http(405, "Method Not Allowed")._replace(headers={"Allow": "GET, HEAD, OPTIONS"})
"""Of paths that there are."""
_OF_THE_DATABASE: tuple[Refusal, ...] = (
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    OverloadedError,
)
_OF_TOKENS: tuple[Refusal, ...] = (UnauthorizedError(is_given=False), TooManyFailuresError(3.0))
_OF_A_BODY: tuple[Refusal, ...] = (
    InvalidRequestError(
        "INVALID_JSON",
        "The body is not valid JSON.",
        [detail("body", "Invalid JSON: EOF while parsing a value at line 1 column 0", "json_invalid")],
    ),
    answer_to_http(408, f"The body paused for {STALL_TIMEOUT_S:.0f} s."),
    answer_to_http(413, ""),
    answer_to_http(415, "The body must be application/json."),
)


class Described(NamedTuple):
    """An operation where it is: its method, its path as OpenAPI writes it, and its name in Flask."""

    method: str
    path: str
    endpoint: str
    name: str
    says: Operation
    security: list[dict[str, list[str]]]
    """Which tokens it needs, as OpenAPI writes it: none, one, or either."""

    @property
    def tag(self) -> str:
        """The blueprint that it is of."""
        return self.endpoint.partition(".")[0]


def find_operations(app: Flask) -> Iterator[Described]:
    """Every operation of an application. Raises ValueError for a route that says nothing of itself."""
    for rule in app.url_map.iter_rules():
        says = operation_of(app.view_functions[rule.endpoint])
        if says is None:
            raise ValueError(f"{rule.endpoint} is not described")
        if not says.is_listed:
            continue
        path = _PARAMETER.sub("{id}", rule.rule)
        methods = sorted((rule.methods or set()) - _AUTOMATIC)
        for method in methods:
            name = says.name if method == methods[0] else f"{says.name}_by_{method.lower()}"
            security = _security_of(rule.endpoint) if asks_for_tokens(app) else []
            yield Described(method, path, rule.endpoint, name, says, security)


def _security_of(endpoint: str) -> list[dict[str, list[str]]]:
    if endpoint == READINESS:
        return [{}, {"token": []}]
    return [] if endpoint.partition(".")[0] in OPEN_BLUEPRINTS else [{"token": []}]


def refusals(one: Described) -> list[Answer]:
    """Every refusal that an operation may give, by status: an example each."""
    found = [*_ALWAYS]
    if one.says.asks_database:
        found += _OF_THE_DATABASE
    if one.says.body is not None:
        found += _OF_A_BODY
    if one.says.condition is not None:
        found.append(PreconditionFailedError)
    if not covers(Scope.READ, one.method):
        found.append(CrossOriginError)
    if one.security:
        found += _OF_TOKENS
    if one.security and not covers(Scope.READ, one.method):
        found.append(ScopeTooSmallError)
    answers = [_answer(refusal) for refusal in (*found, *one.says.errors)]
    return sorted(answers, key=lambda answer: answer.status)


def _answer(refusal: Refusal) -> Answer:
    if isinstance(refusal, Answer):
        return refusal
    answer = answer_to(refusal() if isinstance(refusal, type) else refusal)
    if answer is None:
        raise ValueError(f"{refusal} has no answer")
    return answer
