"""The words of the pages: states, ages, and what is true of a gateway, in plain English."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from service.gateway_states import UNKNOWN, State


@dataclass(frozen=True, slots=True)
class StateWords:
    """How a state looks: its word, its icon (of Bootstrap's), its kind of colour, and what is true in it."""

    word: str
    icon: str
    tone: str
    meaning: str


STATES: Mapping[str, StateWords] = {
    State.CONNECTED: StateWords(
        "connected", "check-circle-fill", "good", "Logged in, subscribed, and heard from within seconds."
    ),
    State.CONNECTING: StateWords("connecting", "arrow-repeat", "busy", "A connection is being opened."),
    State.AUTHENTICATING: StateWords(
        "logging in", "key", "busy", "The connection is open; the login is not answered yet."
    ),
    State.RETRYING: StateWords(
        "retrying",
        "exclamation-triangle-fill",
        "bad",
        "The last attempt failed; the next one follows.",
    ),
    State.AUTH_FAILED: StateWords(
        "login refused",
        "lock-fill",
        "bad",
        "The gateway refuses the login; it is tried rarely.",
    ),
    UNKNOWN: StateWords(
        "unknown", "question-circle-fill", "unknown", "No live worker can say whether it is connected."
    ),
    State.DISCONNECTED: StateWords(
        "off", "circle", "off", "Not connected: not wanted, or waiting for its turn."
    ),
    State.DISCONNECTING: StateWords("disconnecting", "box-arrow-right", "busy", "It is being closed."),
}
"""In the order in which they are counted."""

OTHER_ICONS = ("search", "moon-stars", "plus-lg", "upload", "house", "chevron-left", "chevron-right")


def duration(seconds: float) -> str:
    """A length of time for people: `8 s`, `12 min`, `3 h 5 min`, `4 d 2 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86400, "d", whole % 86400 // 3600, "h")


def age(since: datetime, now: datetime) -> str:
    """How long ago that was."""
    return duration((now - since).total_seconds())


def iso(time: datetime) -> str:
    """As browsers parse it: UTC, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(time: datetime, timezone: str | None = None) -> str:
    """Date and time as a clock on the factory's wall shows them; without a factory, in UTC."""
    shown = time.astimezone(ZoneInfo(timezone) if timezone else UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}" + ("" if timezone else " UTC")


def number(value: int) -> str:
    """With a comma a thousand."""
    return f"{value:,}"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit}" + (f" {small} {small_unit}" if small else "")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "age": age,
    "duration": duration,
    "iso": iso,
    "local": local,
    "number": number,
}
