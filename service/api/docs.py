"""The description of the API."""

import json

from flask import Blueprint, Flask, Response, current_app

from service.api.document import write_document
from service.api.openapi import Operation
from service.api.pagination import NoQuery
from service.api.preconditions import answer_read
from service.api.requests import parse_query
from service.api.responses import JSON

_EXTENSION = "millgate-openapi"

blueprint = Blueprint("docs", __name__, url_prefix="/api")


@blueprint.get("/openapi.json")
@Operation(
    "get_openapi",
    "This document",
    {200: {JSON: {"schema": {"type": "object"}}}},
    condition="read",
    asks_database=False,
)
def document() -> Response:
    """What there is to say of every operation, as OpenAPI 3.1 has it."""
    parse_query(NoQuery)
    return answer_read(Response(document_of(current_app), mimetype=JSON))


def document_of(app: Flask) -> bytes:
    """The document: written when it is first asked for, once a process."""
    written: bytes | None = app.extensions.get(_EXTENSION)
    if written is None:
        written = json.dumps(write_document(app), ensure_ascii=False, separators=(",", ":")).encode()
        app.extensions[_EXTENSION] = written
    return written
