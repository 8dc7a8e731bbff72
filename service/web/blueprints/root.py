"""`/` leads people to the page; for programs there is nothing."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from service.web.rendering import url_for

blueprint = Blueprint("root", __name__)


@blueprint.get("/")
def find() -> Response:
    """302 for browsers, 404 for others."""
    if not request.accept_mimetypes.accept_html or "text/html" not in request.headers.get("Accept", ""):
        raise NotFound
    return Response(status=302, headers={"Location": url_for("web.fleet.show")})
