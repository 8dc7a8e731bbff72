"""`/` leads people to the page; for programs there is nothing."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from service.web.rendering import url_for

blueprint = Blueprint("root", __name__)


@blueprint.get("/")
def find() -> Response:
    """302 for browsers, 404 for others."""
    # Programs ask for anything; browsers name what they show.
    if not any(kind == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes):
        raise NotFound
    return Response(status=302, headers={"Location": url_for("web.fleet.show")})


@blueprint.get("/ui")
def enter() -> Response:
    """302: the page has a slash at its end."""
    return Response(status=302, headers={"Location": url_for("web.fleet.show")})
