"""What the OpenAPI document says once: of all answers, of headers, of tokens, of conditions."""

from typing import Any

from service.api.web.errors import CHALLENGE
from service.api.web.request_id import HEADER

REQUEST_ID = "7f6a4f0d5b8e4c0e9a3d2c1b0a998877"
DESCRIPTION = """\
Every answer carries `X-Request-ID`: the request's own if it came with one that can be shown, else a new one.
Every answer with a status of 400 or more has the same body: `error` with a stable `code`, a `message` for
people, `details` and the `request_id`. Paths that are not listed are 404 `NOT_FOUND`; methods that a path
does not have are 405 `METHOD_NOT_ALLOWED`, with `Allow`. Times are RFC 3339, in UTC. No text may contain a
NUL character. Texts are stored in Unicode's form NFC and without white space around them (passwords as they
are), URLs in normal form (RFC 3986)."""

HEADERS: dict[str, Any] = {
    HEADER: {
        "description": "Ties the answer to what was logged.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,128}$", "examples": [REQUEST_ID]},
    },
    "ETag": {
        "description": "Stands for the state that was answered; for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "examples": ['"3-0c9d2f6a1b7e4d5c8f0a1b2c"']},
    },
    "Location": {
        "description": "The path where it is from now on.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate, and what was wrong (RFC 6750).",
        "required": True,
        "schema": {"type": "string", "examples": [CHALLENGE]},
    },
    "Allow": {
        "description": "The methods that the path has.",
        "required": True,
        "schema": {"type": "string", "examples": ["GET, HEAD, OPTIONS"]},
    },
    "Retry-After": {
        "description": "Wait for so many seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
}

TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API token, where tokens are required (AUTH). One with scope `read` can only read.",
}

ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}

_TAG = r'(W/)?"[!#-~]*"'
_TAGS = {
    "type": "string",
    "pattern": rf"^(\*|{_TAG}(, {_TAG})*)$",
    "examples": ['"3-0c9d2f6a1b7e4d5c8f0a1b2c"'],
}
CONDITIONS: dict[str, Any] = {
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "Do it only if its state has one of these tags; else 412.",
        "schema": _TAGS,
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Do it only if its state has none of these tags; else 304 to a read, 412 to a write.",
        "schema": _TAGS,
    },
}
