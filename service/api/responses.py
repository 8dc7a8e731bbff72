"""Responses: JSON straight from Pydantic, or from PostgreSQL."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response

from service.api.schemas import ResponseModel

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

JSON = "application/json"


class WholeResponse(Response):
    """One whose body is there, and whose headers need nothing done to them. Nobody waits for its end."""

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
    response.headers["Location"] = location
    return response


def respond_nothing() -> Response:
    """204."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
