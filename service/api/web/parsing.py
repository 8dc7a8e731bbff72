"""From a request to values that were checked: its path, its query, its body."""

from functools import cache
from typing import TypeVar
from urllib.parse import unquote_to_bytes
from uuid import UUID

from flask import request
from pydantic import TypeAdapter, ValidationError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from service.api.schemas.base import QueryModel, RequestModel, UpdateModel
from service.api.validation.duplicate_keys import repeated_names
from service.api.web.content_types import BYTE_ORDER_MARK, check_json, in_utf8, is_wide
from service.api.web.validation_errors import detail, details_of, invalid
from service.errors import InvalidRequestError

MAX_BODY_BYTES = 1024 * 1024

Query = TypeVar("Query", bound=QueryModel)
Body = TypeVar("Body", bound=RequestModel)
Update = TypeVar("Update", bound=UpdateModel)

_ID = TypeAdapter(UUID)


def parse_id(text: str) -> UUID:
    """The id in a path. Raises InvalidRequestError."""
    try:
        return _ID.validate_python(text)
    except ValidationError:
        raise invalid([detail("id", "must be a UUID", "uuid_parsing")]) from None


def parse_query(model: type[Query]) -> Query:
    """The request's query. Raises InvalidRequestError, also for a parameter that is given twice."""
    if not request.query_string:
        query: Query = _without_parameters(model)
        return query
    if in_utf8(unquote_to_bytes(request.query_string)) is None:
        raise invalid([detail("query", "must be percent-encoded as UTF-8", "encoding")])
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise invalid([detail(name, "must appear once", "repeated") for name in repeated])
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise _refusal(error, "query") from None


@cache
def _without_parameters(model: type[Query]) -> Query:
    """The same for every request: these models are frozen. Raises InvalidRequestError."""
    try:
        return model()
    except ValidationError as error:
        raise _refusal(error, "query") from None


def parse_body(model: type[Body]) -> Body:
    """The request's body. Raises InvalidRequestError, or werkzeug's errors for its size and type."""
    check_json()
    body = read_body()
    text = None if is_wide(body) else in_utf8(body)
    if text is None:
        raise _no_json([detail("body", "must be UTF-8", "json_invalid")])
    try:
        parsed = model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error, "body") from None
    if repeated := repeated_names(text):
        raise invalid([detail(name, "must appear once", "repeated") for name in repeated])
    return parsed


def parse_update(model: type[Update], row_id: UUID) -> Update:
    """The changes to this resource. Raises as parse_body does, and for a body that is meant for another."""
    body = parse_body(model)
    if not body.is_of(row_id):
        raise invalid([detail("id", "must match the id in the path", "read_only")])
    return body


def parse_optional_body(model: type[Body]) -> Body:
    """The request's body where it may as well have none."""
    if not read_body():
        return model()
    return parse_body(model)


def read_body() -> bytes:
    """The whole body, or none of it, without a byte order mark.

    Raises werkzeug's errors for one that is too big or was cut off.
    """
    body = request.get_data()
    # Of a chunked body werkzeug gives what is within its limit, and says nothing of the rest.
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    if request.content_length is not None and len(body) < request.content_length:
        raise BadRequest("The body is shorter than its Content-Length.")
    return body.removeprefix(BYTE_ORDER_MARK)


def _refusal(error: ValidationError, whole: str) -> InvalidRequestError:
    details = details_of(error, whole)
    if details[0]["type"] == "json_invalid":
        return _no_json(details)
    return invalid(details)


def _no_json(details: list[dict[str, str]]) -> InvalidRequestError:
    return InvalidRequestError("INVALID_JSON", "The body is not valid JSON.", details)
