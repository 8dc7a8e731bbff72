"""What each route says of itself, right above its function.

`service/api/openapi/document.py` makes OpenAPI of it.

    @blueprint.get("/<factory_id>")
    @Operation("get_factory", "One factory", {200: FactoryResponse}, errors=(FactoryNotFoundError,))
    def find_by_id(factory_id: str) -> Response: ...

What any operation may answer (to a query that is not known, to a body that cannot be read, without a
database) need not be said.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from service.api.schemas.base import RequestModel, ResponseModel
from service.api.schemas.pagination import NoQuery, QueryModel
from service.api.web.errors import Answer
from service.errors import MillgateError

Refusal = type[MillgateError] | MillgateError | Answer
"""An error of ours, one with words of its own as the example, or the answer itself."""
MediaTypes = Mapping[str, Mapping[str, Any]]
"""By media type, what is not JSON of ours: `schema` and `example`, as OpenAPI writes them."""
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does. `name` is its operationId, and what a generated client calls it."""

    name: str
    summary: str
    answers: Mapping[int, type[ResponseModel] | tuple[type[ResponseModel], ...] | MediaTypes | None]
    """What is answered when all goes well, by status: model(s), what is no JSON of ours, or nothing."""
    errors: tuple[Refusal, ...] = ()
    query: type[QueryModel] = NoQuery
    body: type[RequestModel] | MediaTypes | None = None
    is_body_optional: bool = False
    condition: Literal["read", "write"] | None = None
    """Whether If-Match and If-None-Match are heeded: by a `read`, which may answer 304, or by a `write`."""
    is_tagged: bool = False
    """Whether the answer has an ETag; a conditional read's always has."""
    asks_database: bool = True
    is_listed: bool = True
    """Whether the document tells of it: a part of a page is no operation of the API."""
    description: str = ""

    def __call__(self, view: View) -> View:
        """Says it of a route's function. Stands below all routes of the function."""
        _SAID[view] = self
        return view


_SAID: dict[Callable[..., Any], Operation] = {}


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """What was said of a route's function; None for one of which nothing was."""
    return _SAID.get(view)
