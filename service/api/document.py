"""The OpenAPI document, made of the routes, what they say of themselves, and the models."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.access import OPEN_BLUEPRINTS, READINESS
from service.api.errors import BAD_HTTP, CHALLENGE, CRASH, Answer, answer_to, answer_to_http, render
from service.api.openapi import MediaTypes, Operation, Refusal, operation_of
from service.api.request_log import HEADER
from service.api.requests import detail, invalid
from service.api.responses import JSON
from service.api.schemas import ErrorResponse
from service.api.server import BEFORE_THE_APPLICATION
from service.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    InvalidRequestError,
    PreconditionFailedError,
    ScopeTooSmallError,
    TooManyFailuresError,
    UnauthorizedError,
)
from service.tokens import Scope, covers

VERSION = "3.1.1"
_MODEL = "#/components/schemas/{model}"
_REQUEST_ID = "7f6a4f0d5b8e4c0e9a3d2c1b0a998877"
_AUTOMATIC = frozenset({"HEAD", "OPTIONS"})
_PARAMETER = re.compile(r"<\w+_id>")

_ALWAYS: tuple[Refusal, ...] = (
    invalid([detail("surprise", "is not known here", "extra_forbidden")]),
    BAD_HTTP,
    CRASH,
    *BEFORE_THE_APPLICATION,
)
_OF_THE_DATABASE: tuple[Refusal, ...] = (DatabaseError, DatabaseUnavailableError)
_OF_TOKENS: tuple[Refusal, ...] = (UnauthorizedError(is_given=False), TooManyFailuresError(3.0))
_OF_A_BODY: tuple[Refusal, ...] = (
    InvalidRequestError(
        "INVALID_JSON",
        "The body is not valid JSON.",
        [detail("body", "Invalid JSON: EOF while parsing a value at line 1 column 0", "json_invalid")],
    ),
    answer_to_http(413, ""),
    answer_to_http(415, "The body must be application/json, in UTF-8 and not compressed."),
)


Body = type[BaseModel] | tuple[type[BaseModel], ...] | MediaTypes | None


class Described(NamedTuple):
    """An operation where it is: its method, its path as OpenAPI writes it, and its name in Flask."""

    method: str
    path: str
    endpoint: str
    name: str
    says: Operation

    @property
    def tag(self) -> str:
        """The blueprint that it is of."""
        return self.endpoint.partition(".")[0]


def write_document(app: Flask) -> dict[str, Any]:
    """All that there is to say of an application, as JSON. Raises ValueError for a route that is mute."""
    operations = list(find_operations(app))
    links = {one.name: _links(one, operations) for one in operations}
    models, examples = Models(operations), Examples()
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        written = _operation(one, models) | {"responses": _responses(one, models, examples, links[one.name])}
        paths.setdefault(one.path, {})[one.method.lower()] = written
    return {
        "openapi": VERSION,
        "info": {
            "title": "Millgate",
            "version": "1",
            "summary": "Keeps wireless-sensor gateways connected, and tells the truth about them.",
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": models.schemas,
            "examples": examples.written,
            "headers": _HEADERS,
            "parameters": _CONDITIONS,
            "securitySchemes": {"token": _TOKEN},
        },
    }


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
            yield Described(method, path, rule.endpoint, name, says)


class Models:
    """The schemas of all models that operations take and give."""

    def __init__(self, operations: Sequence[Described]) -> None:
        wanted: dict[tuple[type[BaseModel], Literal["validation", "serialization"]], None] = {
            (ErrorResponse, "serialization"): None
        }
        for one in operations:
            if isinstance(one.says.body, type):
                wanted[one.says.body, "validation"] = None
            for answer in one.says.answers.values():
                wanted |= dict.fromkeys((model, "serialization") for model in _models_in(answer))
        self._references, definitions = models_json_schema(list(wanted), ref_template=_MODEL)
        self.schemas: dict[str, Any] = definitions["$defs"]

    def taken(self, body: type[BaseModel] | MediaTypes) -> dict[str, Any]:
        """The content of a request."""
        if isinstance(body, type):
            return {JSON: {"schema": self._references[body, "validation"]}}
        return dict(body)

    def given(self, body: Body) -> dict[str, Any]:
        """The content of a response."""
        if isinstance(body, Mapping):
            return dict(body)
        schemas = [self._references[model, "serialization"] for model in _models_in(body)]
        return {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}


def _models_in(body: Body) -> tuple[type[BaseModel], ...]:
    if isinstance(body, tuple):
        return body
    return (body,) if isinstance(body, type) else ()


class Examples:
    """Refusals, each as an example that operations share."""

    def __init__(self) -> None:
        self.written: dict[str, Any] = {}

    def add(self, answer: Answer) -> tuple[str, dict[str, str]]:
        """The name of this refusal's example, and a reference to it."""
        example = {
            "summary": answer.message,
            "value": render(answer, _REQUEST_ID).model_dump(mode="json"),
        }
        plain = ".".join([answer.code, *(item["field"] for item in answer.details[:1])])
        names = itertools.chain([plain], (f"{plain}.{number}" for number in itertools.count(2)))
        name = next(name for name in names if self.written.get(name, example) == example)
        self.written[name] = example
        return name, {"$ref": f"#/components/examples/{name}"}


def _operation(one: Described, models: Models) -> dict[str, Any]:
    written: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.says.summary,
        "parameters": _parameters(one),
        "security": _security(one),
    }
    if one.says.description:
        written["description"] = one.says.description
    if one.says.body is not None:
        content = models.taken(one.says.body)
        written["requestBody"] = {"required": not one.says.is_body_optional, "content": content}
    return written


def _security(one: Described) -> list[dict[str, list[str]]]:
    if one.endpoint == READINESS:
        return [{}, {"token": []}]
    return [] if one.tag in OPEN_BLUEPRINTS else [{"token": []}]


def _parameters(one: Described) -> list[dict[str, Any]]:
    of_path = [_ID] if "{id}" in one.path else []
    of_query = [_in_query(name, schema) for name, schema in _query_properties(one.says)]
    conditions = [{"$ref": f"#/components/parameters/{name}"} for name in _CONDITIONS]
    return of_path + of_query + (conditions if one.says.condition else [])


def _query_properties(says: Operation) -> list[tuple[str, dict[str, Any]]]:
    return list(says.query.model_json_schema()["properties"].items()) if says.query.model_fields else []


def _in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter; there is no null in a query, only nothing."""
    bare = {key: value for key, value in schema.items() if key not in {"title", "anyOf"}}
    if bare.get("default", ...) is None:
        del bare["default"]
    for choice in schema.get("anyOf", []):
        bare |= choice if choice != {"type": "null"} else {}
    parameter = {"name": name, "in": "query", "schema": bare}
    if "description" in bare:
        parameter["description"] = bare.pop("description")
    return parameter


def _responses(
    one: Described, models: Models, examples: Examples, links: Mapping[str, Any]
) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, body in one.says.answers.items():
        responses[str(status)] = _success(one.says, status)
        if body is not None:
            responses[str(status)]["content"] = models.given(body)
        if links:
            responses[str(status)]["links"] = links
    if one.says.condition == "read":
        responses["304"] = _success(one.says, 304)
    for status, answers in itertools.groupby(refusals(one), lambda answer: answer.status):
        responses[str(status)] = _refusal(list(answers), examples)
    return dict(sorted(responses.items()))


def _success(says: Operation, status: int) -> dict[str, Any]:
    names = [HEADER]
    if says.is_tagged or says.condition == "read":
        names.append("ETag")
    if status == HTTPStatus.CREATED:
        names.append("Location")
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _headers(names),
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusal(answers: Sequence[Answer], examples: Examples) -> dict[str, Any]:
    schema = {"$ref": _MODEL.format(model=ErrorResponse.__name__)}
    shown = dict(examples.add(answer) for answer in answers)
    headers = dict.fromkeys([HEADER, *itertools.chain.from_iterable(answer.headers for answer in answers)])
    return {
        "description": ", ".join(dict.fromkeys(f"`{answer.code}`" for answer in answers)),
        "headers": _headers(headers),
        "content": {JSON: {"schema": schema, "examples": shown}},
    }


def _links(one: Described, operations: Sequence[Described]) -> dict[str, Any]:
    """From what was made to every operation on it."""
    if HTTPStatus.CREATED not in one.says.answers:
        return {}
    return {
        other.name: {"operationId": other.name, "parameters": {"id": "$response.body#/id"}}
        for other in operations
        if other.path.startswith(f"{one.path}/{{id}}")
    }


def refusals(one: Described) -> list[Answer]:
    """Every refusal that an operation may give, by status: an example each."""
    found = [*_ALWAYS]
    if one.says.asks_database:
        found += _OF_THE_DATABASE
    if one.says.body is not None:
        found += _OF_A_BODY
    if one.says.condition is not None:
        found.append(PreconditionFailedError)
    if _security(one):
        found += _OF_TOKENS
    if _security(one) and not covers(Scope.READ, one.method):
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


_DESCRIPTION = """\
Every answer carries `X-Request-ID`: the request's own if it came with one that can be shown, else a new one.
Every answer with a status of 400 or more has the same body: `error` with a stable `code`, a `message` for
people, `details` and the `request_id`. Times are RFC 3339, in UTC. No text may contain a NUL character."""

_HEADERS: dict[str, Any] = {
    HEADER: {
        "description": "Ties the answer to what was logged.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,128}$", "examples": [_REQUEST_ID]},
    },
    "ETag": {
        "description": "Stands for the state that was answered; for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "examples": ['"3-0c9d2f6a1b7e4d5c8f0a1b2c"']},
    },
    "Location": {
        "description": "The path where it is from now on.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate, and what was wrong (RFC 6750).",
        "required": True,
        "schema": {"type": "string", "examples": [CHALLENGE]},
    },
    "Retry-After": {
        "description": "Wait for so many seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
}

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API token, where tokens are required (AUTH). One with scope `read` can only read.",
}

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}

_TAG = r'(W/)?"[!#-~]*"'
_TAGS = {
    "type": "string",
    "pattern": rf"^(\*|{_TAG}(, {_TAG})*)$",
    "examples": ['"3-0c9d2f6a1b7e4d5c8f0a1b2c"'],
}
_CONDITIONS: dict[str, Any] = {
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "Do it only if its state has one of these tags; else 412.",
        "schema": _TAGS,
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Do it only if its state has none of these tags; else 304 to a read, 412 to a write.",
        "schema": _TAGS,
    },
}
