"""What the OpenAPI document says once: of all answers, of headers, of tokens, of conditions."""

from typing import Any

from service.api.web.errors import CHALLENGE
from service.api.web.event_stream import EVENT_STREAM
from service.api.web.request_id import HEADER

REQUEST_ID = "7f6a4f0d5b8e4c0e9a3d2c1b0a998877"
DESCRIPTION = """\
Every response has `X-Request-ID`: the request's own if it is printable ASCII, otherwise a new one.
Every response with a status of 400 or more has the same body: `error` with a stable `code`, a `message` for
people, `details` and the `request_id`. Unknown paths return 404 `NOT_FOUND`; unsupported methods return 405
`METHOD_NOT_ALLOWED`, with `Allow`. Times are RFC 3339, in UTC. No text may contain a NUL character. Texts are
stored in Unicode NFC and without surrounding white space (passwords unchanged), URLs in normal form (RFC
3986)."""

HEADERS: dict[str, Any] = {
    HEADER: {
        "description": "Matches the response to the logs.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,128}$", "examples": [REQUEST_ID]},
    },
    "ETag": {
        "description": "Entity tag of the returned representation, for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "examples": ['"3-0c9d2f6a1b7e4d5c8f0a1b2c"']},
    },
    "Location": {
        "description": "URL of the new resource.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate, and what was wrong (RFC 6750).",
        "required": True,
        "schema": {"type": "string", "examples": [CHALLENGE]},
    },
    "Allow": {
        "description": "The methods that the path supports.",
        "required": True,
        "schema": {"type": "string", "examples": ["GET, HEAD, OPTIONS"]},
    },
    "Retry-After": {
        "description": "Seconds to wait before retrying.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
}

TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API token, where tokens are required (AUTH). Scope `read` is read-only.",
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
        "description": "Apply only if the current ETag matches one of these; otherwise 412.",
        "schema": _TAGS,
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Apply only if the current ETag matches none of these; else 304, or 412 for writes.",
        "schema": _TAGS,
    },
}

LAST_EVENT_ID: dict[str, Any] = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Of a stream: the last `id` received. It counts more than `after`.",
    "schema": {"type": "string"},
}
EVENTS: dict[str, Any] = {
    EVENT_STREAM: {
        "schema": {"type": "string"},
        "example": 'id: bWls\nevent: heartbeat\ndata: {"as_of":"2026-11-25T12:00:00Z",'
        '"version":"0.2.0","live_workers":2,"is_held_up":false}\n\n',
    }
}
"""Server-sent events, in addition to JSON."""
