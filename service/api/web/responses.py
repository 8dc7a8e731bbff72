"""Responses: JSON straight from Pydantic, or from PostgreSQL."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response, request

from service.api.schemas.base import ResponseModel

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

JSON = "application/json"
# RFC 3986, section 3.3; ever so many dots would lead elsewhere.
_SEGMENT = re.compile(r"(?!\.+$)[A-Za-z0-9\-._~!$&'()*+,;=@%]+")


class WholeResponse(Response):
    """A response with a complete body and final headers."""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Sends it as it is, where werkzeug copies it, looks it through, and wraps it."""
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.iter_encoded()


def respond(body: ResponseModel | bytes, status: int = 200) -> Response:
    """A body with its status; bytes are JSON already."""
    rendered = body if isinstance(body, bytes) else body.model_dump_json(by_alias=True)
    return WholeResponse(rendered, status, content_type=JSON)


def respond_created(body: ResponseModel | bytes, location: str) -> Response:
    """201, the body, and the path where it is from now on."""
    response = respond(body, 201)
    response.headers["Location"] = public_path(location)
    return response


def public_path(path: str) -> str:
    """The path as clients see it: after the prefix that a trusted proxy removed (X-Forwarded-Prefix)."""
    segments = [segment for segment in request.root_path.split("/") if segment]
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        return path
    return "".join(f"/{segment}" for segment in segments) + path


def respond_nothing() -> Response:
    """204."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
