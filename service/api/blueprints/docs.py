"""The description of the API, and a page that shows it: Swagger UI from a package, nothing from elsewhere."""

import json
from functools import cache
from importlib.resources import files

from flask import Blueprint, Response, current_app
from werkzeug.exceptions import NotFound

from service.api.openapi.document import document_of
from service.api.openapi.operation import Operation
from service.api.web.etags import conditional_response
from service.api.web.responses import JSON, public_path

HTML = "text/html; charset=utf-8"
# Less strict than that of all other answers, yet: nothing that is not of this host, and nothing inline.
PAGE_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": ["'self'", "data:"],
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_PACKAGE = "flask_swagger_ui"
_PACKED = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Millgate's API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/start.js" defer></script>
</head>
<body><div id="page"></div></body>
</html>
"""
# Nothing is sent to anybody's validator, and a token that was typed in is forgotten with the page.
_START = """\
SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null});
"""

blueprint = Blueprint("docs", __name__, url_prefix="/api")


@blueprint.get("/openapi.json")
@Operation(
    "get_openapi",
    "Get this document",
    {200: {JSON: {"schema": {"type": "object"}}}},
    condition="read",
    uses_database=False,
)
def document() -> Response:
    """What there is to say of every operation, as OpenAPI 3.1 has it."""
    servers = json.dumps([{"url": public_path("") or "/"}])
    body = document_of(current_app).removesuffix(b"}") + b',"servers":' + servers.encode() + b"}"
    return conditional_response(Response(body, mimetype=JSON))


@blueprint.get("/docs")
@Operation(
    "get_docs",
    "Get an interactive page of this document",
    {200: {HTML: {"schema": {"type": "string"}}}},
    condition="read",
    uses_database=False,
)
def page() -> Response:
    """A page for people."""
    return conditional_response(Response(_PAGE, content_type=HTML))


page.talisman_view_options = {"content_security_policy": PAGE_POLICY}  # type: ignore[attr-defined]


@blueprint.get("/docs/<name>")
@Operation("get_docs_part", "A part of the page", {200: {}}, include_in_schema=False)
def part(name: str) -> Response:
    """Its style, its program, its icon."""
    if name == "start.js":
        return conditional_response(Response(_START, content_type=_PACKED["swagger-ui-bundle.js"]))
    if name not in _PACKED:
        raise NotFound
    return conditional_response(Response(_packed(name), content_type=_PACKED[name]))


@cache
def _packed(name: str) -> bytes:
    return files(_PACKAGE).joinpath("dist", name).read_bytes()
