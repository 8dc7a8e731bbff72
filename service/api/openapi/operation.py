"""Declares what an operation takes and returns, right above the function that handles it.

    @blueprint.put("/<factory_id>")
    @Operation("update_factory", "Update a factory", {200: FactoryResponse}, body=FactoryUpdate)
    def update(factory_id: UUID, body: FactoryUpdate) -> Response: ...

The declaration is parsed from each request and passed to the function, and `service/api/openapi/document.py`
documents it: what is documented is what is accepted. Errors that any operation may return (an unknown
parameter, an invalid body, an unavailable database) need not be declared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from service.api.schemas.base import EmptyQuery, QueryModel, RequestModel, ResponseModel, UpdateModel
from service.api.web.errors import Problem
from service.api.web.etags import write_precondition
from service.api.web.parsing import parse_body, parse_id, parse_optional_body, parse_query, parse_update
from service.errors import MillgateError

ProblemSource = type[MillgateError] | MillgateError | Problem
"""An error class, an error with its own message as the example, or the problem itself."""
MediaTypes = Mapping[str, Mapping[str, Any]]
"""Content other than our JSON, by media type: `schema` and `example` as in OpenAPI."""
View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does. `name` is its operationId, and what a generated client calls it."""

    name: str
    summary: str
    responses: Mapping[int, type[ResponseModel] | tuple[type[ResponseModel], ...] | MediaTypes | None]
    """The successful responses by status: model(s), other content, or none."""
    error_responses: tuple[ProblemSource, ...] = ()
    query: type[QueryModel] = EmptyQuery
    body: type[RequestModel] | MediaTypes | None = None
    is_body_optional: bool = False
    condition: Literal["read", "write"] | None = None
    """Whether If-Match and If-None-Match are heeded: by a `read`, which may answer 304, or by a `write`."""
    has_etag: bool = False
    """Whether the answer has an ETag; a conditional read's always has."""
    is_also_stream: bool = False
    """Whether it answers with server-sent events a client that asks for them."""
    uses_database: bool = True
    include_in_schema: bool = True
    """Whether the document lists it: a file of the documentation page is no operation."""
    description: str = ""

    def __call__(self, view: View) -> View:
        """Have the function called with what a request has of this. Place it below the function's routes."""

        @wraps(view)
        def handle(**path: str) -> Any:
            return view(**self._parse(path))

        _OPERATIONS[handle] = self
        return handle

    def _parse(self, path: Mapping[str, str]) -> dict[str, Any]:
        """Return the function's arguments. Raises InvalidRequestError and werkzeug's errors."""
        query = parse_query(self.query)
        values: dict[str, Any] = {
            name: parse_id(text) if name.endswith("_id") else text for name, text in path.items()
        }
        if self.query.model_fields:
            values["query"] = query
        if isinstance(self.body, type):
            body = self._parse_body(self.body, values)
            if self.body.model_fields:
                values["body"] = body
        if self.condition == "write":
            values["precondition"] = write_precondition()
        return values

    def _parse_body(self, model: type[RequestModel], values: Mapping[str, Any]) -> RequestModel:
        if self.is_body_optional:
            return parse_optional_body(model)
        if issubclass(model, UpdateModel):
            [row_id] = values.values()
            return parse_update(model, row_id)
        return parse_body(model)


_OPERATIONS: dict[View, Operation] = {}


def operation_of(view: View) -> Operation | None:
    """What was said of a route's function; None for one of which nothing was."""
    return _OPERATIONS.get(view)
