"""Parses the envelope and commands as strictly as a real gateway. Pure: text in, command or violation out.

Source: the vendor's "CTC Connect Wireless API Startup Manual", and what integrators observed (an extra
field, an unknown command or anything before the login makes a real gateway's handler fail).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

Json = object
ENVELOPE = frozenset({"Type", "From", "To", "Data"})


class Violation(Exception):  # noqa: N818 - the client's fault, not an error of the simulator
    """The client broke the protocol. The text names fields and types, never a value of `Data`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A well-formed command: its `Type`, and `Data` with the fields that this type knows."""

    type: str
    data: Mapping[str, Json] = field(repr=False)

    def text(self, name: str) -> str:
        """Return a string field."""
        return cast("str", self.data[name])

    def number(self, name: str, default: int | None = None) -> int:
        """Return an integer field."""
        return cast("int", self.data.get(name, default))

    def serials(self) -> list[int]:
        """Return `Serials`; empty when it is absent, which means "all"."""
        return cast("list[int]", self.data.get("Serials", []))


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_integer(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_integer_list(value: Json) -> bool:
    return isinstance(value, list) and all(_is_integer(item) for item in value)


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of one command's `Data`, each with its check."""

    required: Mapping[str, Callable[[Json], bool]] = field(default_factory=dict)
    optional: Mapping[str, Callable[[Json], bool]] = field(default_factory=dict)


NOTHING = Shape()
ONE_SENSOR = Shape(required={"Serial": _is_integer})
HISTORY = Shape(
    optional={"Serials": _is_integer_list, "Start": _is_text, "End": _is_text, "Max": _is_integer}
)
SHAPES: Mapping[str, Shape] = {
    "POST_LOGIN": Shape(required={"Email": _is_text, "Password": _is_text}),
    "POST_SUB_CHANGES": NOTHING,
    "POST_UNSUB_CHANGES": NOTHING,
    "GET_DYN": Shape(required={"Serials": _is_integer_list}),
    "GET_DYN_CONNECTED": NOTHING,
    "TAKE_DYN_READING": ONE_SENSOR,
    "TAKE_DYN_TEMP": ONE_SENSOR,
    "TAKE_DYN_BATT": ONE_SENSOR,
    "GET_DYN_READINGS": HISTORY,
    "GET_DYN_TEMPS": HISTORY,
    "GET_DYN_BATTS": HISTORY,
}


def parse_command(message: str | bytes) -> Command:
    """Parse one frame. Raises Violation for everything on which a real gateway's handler would fail."""
    if isinstance(message, bytes):
        raise Violation("a binary frame")
    try:
        envelope = json.loads(message)
    except (ValueError, RecursionError):
        raise Violation("a frame that is not JSON") from None
    if not isinstance(envelope, dict):
        raise Violation("a frame that is no JSON object")
    command_type = _check_envelope(envelope)
    data = envelope["Data"]
    if not isinstance(data, dict):
        raise Violation(f"{command_type}: Data is no object")
    _check_data(command_type, data, SHAPES[command_type])
    return Command(command_type, data)


def _check_envelope(envelope: dict[str, Json]) -> str:
    command_type = envelope.get("Type")
    if not isinstance(command_type, str) or command_type not in SHAPES:
        raise Violation("an unknown command")
    if missing := ENVELOPE - envelope.keys():
        raise Violation(f"{command_type}: envelope without {_names(missing)}")
    if extra := envelope.keys() - ENVELOPE:
        raise Violation(f"{command_type}: envelope with extra {_names(extra)}")
    if envelope["From"] != "UI" or envelope["To"] != "SERV":
        raise Violation(f'{command_type}: From and To must be "UI" and "SERV"')
    return command_type


def _check_data(command_type: str, data: dict[str, Json], shape: Shape) -> None:
    known = {**shape.required, **shape.optional}
    if missing := shape.required.keys() - data.keys():
        raise Violation(f"{command_type}: Data without {_names(missing)}")
    if extra := data.keys() - known.keys():
        raise Violation(f"{command_type}: Data with extra {_names(extra)}")
    for name, value in data.items():
        if not known[name](value):
            raise Violation(f"{command_type}: {name} has the wrong type")


def _names(names: set[str] | frozenset[str]) -> str:
    return ", ".join(repr(name[:40]) for name in sorted(names)[:5])


def outgoing(message_type: str, data: Json) -> dict[str, Json]:
    """Return the envelope of an answer or a notification."""
    return {"Type": message_type, "From": "SERV", "Target": "UI", "Data": data}


def failure(attempt: str | None, error: str) -> dict[str, Json]:
    """Return `RTN_ERR`; `Attempt` can be null (observed)."""
    return outgoing("RTN_ERR", {"Attempt": attempt, "Error": error})


def login_answer(email: str, *, success: bool) -> dict[str, Json]:
    """Return `RTN_LOGIN` with all fields that were observed."""
    data = {"Email": email, "First": "Pat", "Last": "Planter", "Success": success}
    return outgoing("RTN_LOGIN", data | {"AccessLevel": 3 if success else 0, "Verified": success})


def encode(message: Json) -> str:
    """Return the text of a frame, compact like the real one's."""
    return json.dumps(message, separators=(",", ":"))
