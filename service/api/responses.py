"""Responses: JSON straight from Pydantic, or from PostgreSQL."""

from flask import Response

from service.api.schemas import ResponseModel

JSON = "application/json"


def respond(body: ResponseModel | bytes, status: int = 200) -> Response:
    """A body with its status; bytes are JSON already."""
    rendered = body if isinstance(body, bytes) else body.model_dump_json(by_alias=True)
    return Response(rendered, status, content_type=JSON)


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
