"""Compares answers of two servers, ignoring ids, times and wording. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

# Headers that a server adds about itself and its connection.
SERVERS_OWN = frozenset({"connection", "date", "keep-alive", "server", "transfer-encoding"})
# Headers whose values are compared, too.
FIXED = ("permissions-policy", "x-frame-options", "x-content-type-options", "content-security-policy",
         "referrer-policy", "cache-control")  # fmt: skip
LOG_FIELDS = frozenset(
    {"time", "level", "logger", "message", "request_id", "method", "path", "status", "duration_ms"}
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_TAG = re.compile(r'"(?:([1-9][0-9]*)-)?[0-9a-f]{24}"')


@dataclass(frozen=True)
class Answer:
    """One answer, as received."""

    status: int
    headers: Mapping[str, str]
    """With names in lower case."""
    body: bytes


def comparable(answer: Answer, fresh: Sequence[str] = ()) -> dict[str, Any]:
    """Return what must be equal for all contestants; `fresh`: fields of the body that are new every time."""
    headers = answer.headers
    return {
        "status": answer.status,
        "media type": headers.get("content-type", "").partition(";")[0],
        "headers": sorted(set(headers) - SERVERS_OWN),
        **{name: headers.get(name, "").replace("; ", ";") for name in FIXED},
        "tag": _form_of_tag(headers.get("etag")),
        "body": _without_fresh(json.loads(answer.body), frozenset(fresh)) if answer.body else None,
    }


def differences(expected: object, found: object, path: str = "") -> list[str]:
    """Describe each difference between two values in one line."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        below = (differences(expected[key], found[key], f"{path}.{key}".lstrip(".")) for key in expected)
        return list(chain.from_iterable(below))
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return list(chain.from_iterable(differences(*pair, f"{path}[{number}]") for number, pair in pairs))
    return [] if expected == found else [f"{path}: {_short(found)} in place of {_short(expected)}"]


def request_lines(log: str) -> int:
    """Count the lines of a log that have all fields of a request."""
    return sum(_has_all_fields(line) for line in log.splitlines())


def _has_all_fields(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and set(entry) >= LOG_FIELDS


def _without_fresh(value: Any, fresh: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_without_fresh(item, fresh) for item in value]
    if not isinstance(value, dict):
        return _to_the_millisecond(value) if isinstance(value, str) and _TIME.fullmatch(value) else value
    if "error" in value:
        return _of_error(value["error"])
    return {
        name: type(item).__name__ if name in fresh | {"next_cursor"} else _without_fresh(item, fresh)
        for name, item in value.items()
    }


def _of_error(error: dict[str, Any]) -> dict[str, Any]:
    """Reduce an error to its fields: each library words its messages differently."""
    return {
        **error,
        "request_id": type(error["request_id"]).__name__,
        "details": sorted(detail["field"] for detail in error["details"]),
        "keys of details": sorted({key for detail in error["details"] for key in detail}),
    }


def _to_the_millisecond(text: str) -> str:
    """Cut a time to milliseconds, which is all that JavaScript has."""
    at = datetime.fromisoformat(text)
    return at.replace(microsecond=at.microsecond // 1000 * 1000).isoformat(timespec="milliseconds")


def _form_of_tag(tag: str | None) -> str:
    if tag is None:
        return "none"
    form = _TAG.fullmatch(tag)
    return f"version {form[1]}" if form else "unknown"


def _short(value: object) -> str:
    return repr(value)[:120]
