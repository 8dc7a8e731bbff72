"""Responses: JSON bytes straight from Pydantic."""

from flask import Response

from service.api.schemas import ResponseModel

JSON = "application/json"


def respond(body: ResponseModel, status: int = 200) -> Response:
    """A body with its status."""
    return Response(body.model_dump_json(by_alias=True), status, mimetype=JSON)


def respond_created(body: ResponseModel, location: str) -> Response:
    """201, the body, and the path where it is from now on."""
    response = respond(body, 201)
    response.headers["Location"] = location
    return response


def respond_nothing() -> Response:
    """204."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
