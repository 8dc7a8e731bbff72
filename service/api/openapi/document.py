"""The OpenAPI document, made of the routes, what they say of themselves, and the models."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import __version__
from service.api.openapi.catalog import NO_SUCH_METHOD, RouteOperation, error_responses_for, iter_operations
from service.api.openapi.components import (
    CONDITIONS,
    DESCRIPTION,
    EVENTS,
    HEADERS,
    ID,
    LAST_EVENT_ID,
    REQUEST_ID,
    TOKEN,
)
from service.api.openapi.operation import MediaTypes, Operation
from service.api.schemas.errors import ErrorResponse
from service.api.web.errors import Problem, render
from service.api.web.request_id import HEADER
from service.api.web.responses import JSON

VERSION = "3.1.1"
_MODEL = "#/components/schemas/{model}"


Body = type[BaseModel] | tuple[type[BaseModel], ...] | MediaTypes | None


def build_openapi(app: Flask) -> dict[str, Any]:
    """The whole document but `servers`. Raises ValueError for a route that is mute."""
    operations = list(iter_operations(app))
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
            "version": __version__,
            "summary": "Keeps wireless-sensor gateways connected, and reports their true state.",
            "description": DESCRIPTION,
        },
        "paths": paths,
        "components": {
            "schemas": models.schemas,
            "examples": examples.written,
            "headers": HEADERS,
            "parameters": CONDITIONS,
            # No operation has it: it is what is answered where there is none.
            "responses": {"MethodNotAllowed": _refusal([NO_SUCH_METHOD], examples)},
            **({"securitySchemes": {"token": TOKEN}} if any(one.security for one in operations) else {}),
        },
    }


class Models:
    """The schemas of all models that operations take and give."""

    def __init__(self, operations: Sequence[RouteOperation]) -> None:
        wanted: dict[tuple[type[BaseModel], Literal["validation", "serialization"]], None] = {
            (ErrorResponse, "serialization"): None
        }
        for one in operations:
            if isinstance(one.operation.body, type):
                wanted[one.operation.body, "validation"] = None
            for answer in one.operation.responses.values():
                wanted |= dict.fromkeys((model, "serialization") for model in _models_in(answer))
        self._references, definitions = models_json_schema(list(wanted), ref_template=_MODEL)
        self.schemas: dict[str, Any] = definitions["$defs"]

    def request_content(self, body: type[BaseModel] | MediaTypes) -> dict[str, Any]:
        """The content of a request."""
        if isinstance(body, type):
            return {JSON: {"schema": self._references[body, "validation"]}}
        return dict(body)

    def response_content(self, body: Body) -> dict[str, Any]:
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

    def add(self, answer: Problem) -> tuple[str, dict[str, str]]:
        """The name of this refusal's example, and a reference to it."""
        example = {
            "summary": answer.message,
            "value": render(answer, REQUEST_ID).model_dump(mode="json"),
        }
        plain = ".".join([answer.code, *(item["field"] for item in answer.details[:1])])
        names = itertools.chain([plain], (f"{plain}.{number}" for number in itertools.count(2)))
        name = next(name for name in names if self.written.get(name, example) == example)
        self.written[name] = example
        return name, {"$ref": f"#/components/examples/{name}"}


def _operation(one: RouteOperation, models: Models) -> dict[str, Any]:
    written: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.operation.summary,
        "parameters": _parameters(one),
        "security": one.security,
    }
    if one.operation.description:
        written["description"] = one.operation.description
    if one.operation.body is not None:
        content = models.request_content(one.operation.body)
        written["requestBody"] = {"required": not one.operation.is_body_optional, "content": content}
    return written


def _parameters(one: RouteOperation) -> list[dict[str, Any]]:
    of_path = [ID] if "{id}" in one.path else []
    of_query = [_in_query(name, schema) for name, schema in _query_properties(one.operation)]
    conditions = [{"$ref": f"#/components/parameters/{name}"} for name in CONDITIONS]
    more = (conditions if one.operation.condition else []) + (
        [LAST_EVENT_ID] if one.operation.is_also_stream else []
    )
    return of_path + of_query + more


def _query_properties(operation: Operation) -> list[tuple[str, dict[str, Any]]]:
    return (
        list(operation.query.model_json_schema()["properties"].items())
        if operation.query.model_fields
        else []
    )


def _in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter; there is no null in a query, only nothing."""
    bare = {key: value for key, value in schema.items() if key not in {"title", "anyOf"}}
    if bare.get("default", ...) is None:
        del bare["default"]
    for choice in schema.get("anyOf", []):
        bare |= choice if choice != {"type": "null"} else {}
    parameter: dict[str, Any] = {"name": name, "in": "query", "schema": bare}
    if bare.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    if "description" in bare:
        parameter["description"] = bare.pop("description")
    return parameter


def _responses(
    one: RouteOperation, models: Models, examples: Examples, links: Mapping[str, Any]
) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, body in one.operation.responses.items():
        responses[str(status)] = _success(one.operation, status)
        if body is not None:
            responses[str(status)]["content"] = models.response_content(body)
        if one.operation.is_also_stream:
            responses[str(status)]["content"] |= EVENTS
        if links:
            responses[str(status)]["links"] = links
    if one.operation.condition == "read":
        responses["304"] = _success(one.operation, 304)
    for status, answers in itertools.groupby(error_responses_for(one), lambda answer: answer.status):
        responses[str(status)] = _refusal(list(answers), examples)
    return dict(sorted(responses.items()))


def _success(operation: Operation, status: int) -> dict[str, Any]:
    names = [HEADER]
    if operation.has_etag or operation.condition == "read":
        names.append("ETag")
    if status == HTTPStatus.CREATED:
        names.append("Location")
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _headers(names),
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusal(answers: Sequence[Problem], examples: Examples) -> dict[str, Any]:
    schema = {"$ref": _MODEL.format(model=ErrorResponse.__name__)}
    shown = dict(examples.add(answer) for answer in answers)
    headers = dict.fromkeys([HEADER, *itertools.chain.from_iterable(answer.headers for answer in answers)])
    return {
        "description": ", ".join(dict.fromkeys(f"`{answer.code}`" for answer in answers)),
        "headers": _headers(headers),
        "content": {JSON: {"schema": schema, "examples": shown}},
    }


def _links(one: RouteOperation, operations: Sequence[RouteOperation]) -> dict[str, Any]:
    """From what was made to every operation on it."""
    if HTTPStatus.CREATED not in one.operation.responses:
        return {}
    return {
        other.name: {"operationId": other.name, "parameters": {"id": "$response.body#/id"}}
        for other in operations
        if other.path.startswith(f"{one.path}/{{id}}")
    }


_EXTENSION = "millgate-openapi"


def document_of(app: Flask) -> bytes:
    """The document but for `servers`: written when it is first asked for, once a process."""
    written: bytes | None = app.extensions.get(_EXTENSION)
    if written is None:
        written = json.dumps(build_openapi(app), ensure_ascii=False, separators=(",", ":")).encode()
        app.extensions[_EXTENSION] = written
    return written
