"""Styles, programs and the icon."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from service.web.static_files import digest, static_files

blueprint = Blueprint("static", __name__, url_prefix="/static")
_FOREVER = "public, max-age=31536000, immutable"


@blueprint.get("/<version>/<name>")
def send(version: str, name: str) -> Response:
    """A file; browsers keep it until its address changes."""
    file = static_files().get(name)
    if file is None or version != digest():
        raise NotFound
    if request.accept_encodings["gzip"]:
        response = Response(file.compressed, content_type=file.content_type)
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = Response(file.body, content_type=file.content_type)
    response.headers["Cache-Control"] = _FOREVER
    return response
