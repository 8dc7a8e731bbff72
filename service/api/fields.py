"""The kinds of values that requests are made of, each with its limits (those of the schema's constraints)."""

import ipaddress
import json
import math
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

MAX_METADATA_DEPTH = 16
MAX_METADATA_BYTES = 64 * 1024
MAX_INTEGER = 2**63
MAX_HOST_CHARACTERS = 253

_TIMEZONES = frozenset(available_timezones())
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")
# RFC 3986, appendix A: what a URI may be written with, without the fragment's sign.
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*\.?")


def check_text(text: str) -> str:
    """PostgreSQL stores no NUL character."""
    if "\x00" in text:
        raise PydanticCustomError("nul_character", "must not contain a NUL character")
    return text


def check_not_blank(text: str) -> str:
    """A name of nothing but white space names nothing."""
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return check_text(text)


def check_password(password: SecretStr) -> SecretStr:
    """Any text, as far as texts go."""
    check_text(password.get_secret_value())
    return password


def check_timezone(name: str) -> str:
    """A name of the IANA list."""
    if name not in _TIMEZONES:
        raise PydanticCustomError("timezone", "must be a time zone of the IANA list, such as Europe/Paris")
    return name


def check_email(text: str) -> str:
    """Something, an at sign, something; what is behind it only the gateway can tell."""
    if not _EMAIL.fullmatch(text):
        raise PydanticCustomError("email", "must be an email address, without spaces")
    return text


def check_url(text: str) -> str:
    """A WebSocket URL (RFC 6455, section 3) with a host, and without credentials."""
    problem = _problem_of_url(text)
    if problem is not None:
        raise PydanticCustomError("websocket_url", "{problem}", {"problem": problem})
    return text


def check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """A JSON object that PostgreSQL can store, of a depth and size that everyone can bear."""
    pending: list[tuple[Any, int]] = [(metadata, 1)]
    while pending:
        value, depth = pending.pop()
        _check_value(value, depth)
        if isinstance(value, dict):
            pending.extend((item, depth + 1) for pair in value.items() for item in pair)
        elif isinstance(value, list):
            pending.extend((item, depth + 1) for item in value)
    if len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata_size", f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return metadata


def _check_value(value: object, depth: int) -> None:
    if isinstance(value, (dict, list)) and depth > MAX_METADATA_DEPTH:
        raise PydanticCustomError("metadata_depth", f"must be at most {MAX_METADATA_DEPTH} levels deep")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("metadata_number", "must not contain a number that is not finite")
    elif isinstance(value, (int, float)) and not -MAX_INTEGER <= value < MAX_INTEGER:
        # A float this big is an integer, too: PostgreSQL would return it as one.
        raise PydanticCustomError("metadata_number", "must not contain a number beyond 64 bits")


def _problem_of_url(text: str) -> str | None:
    if not text.startswith(("ws://", "wss://")):
        return "must begin with ws:// or wss://"
    if "#" in text:
        return "must not have a fragment"
    if not _URL_CHARACTERS.fullmatch(text):
        return "must be written with the characters of a URL only"
    return _problem_of_authority(text)


def _problem_of_authority(url: str) -> str | None:
    problem = "must have a valid host and port"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return problem
    if "@" in parts.netloc:
        return "must not contain a user or password"
    if host is None or port == 0 or parts.netloc.endswith(":") or not _is_host(host, parts.netloc):
        return problem
    return None


def _is_host(host: str, netloc: str) -> bool:
    if not netloc.startswith("["):
        return len(host) <= MAX_HOST_CHARACTERS and _HOST.fullmatch(host) is not None
    try:
        return ipaddress.IPv6Address(host).scope_id is None
    except ValueError:
        return False


# What the checks above ask for, as far as JSON Schema can say it (with regular expressions as in ECMA-262).
_NOT_BLANK = {"pattern": r"\S"}
_EMAIL_SCHEMA = {"format": "email", "examples": ["plant@example.com"]}
_URL_SCHEMA = {"format": "websocket-url", "examples": ["ws://192.0.2.7:5000"]}
_TIMEZONE_SCHEMA = {"format": "timezone", "examples": ["Europe/Berlin"]}
_METADATA_SCHEMA = {
    "description": (
        f"At most {MAX_METADATA_DEPTH} levels deep and {MAX_METADATA_BYTES} bytes of JSON, without"
        " numbers beyond 64 bits."
    ),
    "examples": [{"line": 3}],
}

Name = Annotated[
    str, Field(min_length=1, max_length=200, json_schema_extra=_NOT_BLANK), AfterValidator(check_not_blank)
]
Location = Annotated[
    str, Field(min_length=1, max_length=500, json_schema_extra=_NOT_BLANK), AfterValidator(check_not_blank)
]
ShortText = Annotated[
    str, Field(min_length=1, max_length=100, json_schema_extra=_NOT_BLANK), AfterValidator(check_not_blank)
]
Timezone = Annotated[
    str,
    Field(min_length=1, max_length=100, json_schema_extra=_TIMEZONE_SCHEMA),
    AfterValidator(check_timezone),
]
Email = Annotated[
    str, Field(min_length=3, max_length=320, json_schema_extra=_EMAIL_SCHEMA), AfterValidator(check_email)
]
WebSocketUrl = Annotated[
    str, Field(min_length=1, max_length=2000, json_schema_extra=_URL_SCHEMA), AfterValidator(check_url)
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024), AfterValidator(check_password)]
SearchText = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_text)]
Metadata = Annotated[
    dict[str, Any], Field(json_schema_extra=_METADATA_SCHEMA), AfterValidator(check_metadata)
]
DesiredState = Literal["connected", "disconnected"]
State = Literal[
    "disconnected",
    "connecting",
    "authenticating",
    "connected",
    "retrying",
    "auth_failed",
    "disconnecting",
    "unknown",
]
