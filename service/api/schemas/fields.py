"""The kinds of values that requests are made of, each with its limits (those of the schema's constraints)."""

import re
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.api.validation.metadata import MAX_BYTES, MAX_DEPTH, check_metadata
from service.api.validation.texts import (
    IDENTIFIER_PATTERN,
    TEXT_PATTERN,
    check_text,
    composed,
    normal_identifier,
    normal_text,
    trimmed,
)
from service.api.validation.urls import MAX_URL_CHARACTERS, normal_url
from service.gateway_states import ReportedState

# The package's list, and no system's: what one host takes, every host takes.
TIMEZONES = frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")


def check_password(password: SecretStr) -> SecretStr:
    """Any text, as far as texts go."""
    check_text(password.get_secret_value())
    return password


def check_true(value: object) -> object:
    """True itself, and not what equals it."""
    if value is not True:
        raise PydanticCustomError("literal_error", "must be true")
    return value


def check_timezone(name: str) -> str:
    """A name of the IANA list."""
    if name not in TIMEZONES:
        raise PydanticCustomError("timezone", "must be a time zone of the IANA list, such as Europe/Paris")
    return name


def check_email(text: str) -> str:
    """Something, an at sign, something; what is behind it only the gateway can tell."""
    if not _EMAIL.fullmatch(text):
        raise PydanticCustomError("email", "must be an email address, without spaces")
    return text


# What the checks above ask for, as far as JSON Schema can say it (with regular expressions as in ECMA-262).
_TEXT = {"pattern": TEXT_PATTERN}
_IDENTIFIER = {"pattern": IDENTIFIER_PATTERN}
_EMAIL_SCHEMA = {"format": "email", "examples": ["plant@example.com"]}
_URL_SCHEMA = {"format": "websocket-url", "examples": ["ws://192.0.2.7:5000"]}
_TIMEZONE_SCHEMA = {"format": "timezone", "examples": ["Europe/Berlin"]}
_METADATA_SCHEMA = {
    "description": (
        f"At most {MAX_DEPTH} levels deep and {MAX_BYTES} bytes of JSON as it is returned, without"
        " numbers beyond 64 bits."
    ),
    "examples": [{"line": 3}],
}

Name = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra=_TEXT),
    AfterValidator(partial(normal_text, max_length=200)),
]
Location = Annotated[
    str,
    Field(min_length=1, max_length=500, json_schema_extra=_TEXT),
    AfterValidator(partial(normal_text, max_length=500)),
]
ShortText = Annotated[
    str,
    Field(min_length=1, max_length=100, json_schema_extra=_TEXT),
    AfterValidator(partial(normal_text, max_length=100)),
]
DeviceId = Annotated[
    str,
    Field(min_length=1, max_length=100, json_schema_extra=_IDENTIFIER),
    AfterValidator(partial(normal_identifier, max_length=100)),
]
Timezone = Annotated[
    str,
    BeforeValidator(trimmed),
    Field(min_length=1, max_length=100, json_schema_extra=_TIMEZONE_SCHEMA),
    AfterValidator(check_timezone),
]
Email = Annotated[
    str,
    BeforeValidator(trimmed),
    Field(min_length=3, max_length=320, json_schema_extra=_EMAIL_SCHEMA),
    AfterValidator(check_email),
]
WebSocketUrl = Annotated[
    str,
    BeforeValidator(trimmed),
    Field(min_length=1, max_length=MAX_URL_CHARACTERS, json_schema_extra=_URL_SCHEMA),
    AfterValidator(normal_url),
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024), AfterValidator(check_password)]
SearchText = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(composed)]
Metadata = Annotated[
    dict[str, Any], Field(json_schema_extra=_METADATA_SCHEMA), AfterValidator(check_metadata)
]
Id = Annotated[UUID, BeforeValidator(trimmed)]
"""In a body: as a text, it may have white space around it."""
OnlyTrue = Annotated[Literal[True], BeforeValidator(check_true)]


def read_states(value: object) -> tuple[ReportedState, ...]:
    """States, as a list or separated by commas; in the order of the states, each once."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(word in _STATES for word in words):
        raise PydanticCustomError("states", f"must be one or several of {', '.join(_STATES)}")
    return tuple(state for state in _STATES if state in words)


_STATES: tuple[ReportedState, ...] = get_args(ReportedState)
_STATE_SCHEMA = {"enum": list(_STATES), "type": "string"}
_STATES_SCHEMA = {"type": "array", "items": _STATE_SCHEMA, "minItems": 1}
_JOINED_STATES = {"type": "string", "pattern": f"^({'|'.join(_STATES)})(,({'|'.join(_STATES)}))*$"}
States = Annotated[
    tuple[ReportedState, ...], PlainValidator(read_states), WithJsonSchema(_STATES_SCHEMA, mode="validation")
]
"""In a query: separated by commas."""
StatesOfBody = Annotated[
    tuple[ReportedState, ...],
    PlainValidator(read_states),
    WithJsonSchema({"anyOf": [_JOINED_STATES, _STATES_SCHEMA]}, mode="validation"),
]
"""In a body: a list too."""
