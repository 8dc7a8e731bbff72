"""Errors of validation: where each is and what it is, without what was sent."""

from collections.abc import Mapping

from pydantic import ValidationError

from service.errors import InvalidRequestError

MAX_DETAILS = 100


MAX_FIELD_CHARACTERS = 200


# Where Pydantic's own words would show a part of what was sent, or speak of Python.
_MESSAGES = {
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "extra_forbidden": "unknown field",
    "missing": "is required",
    "model_type": "must be a JSON object",
}


def detail(field: str, message: str, kind: str) -> dict[str, str]:
    """One mistake: where it is, what it is, for people and for programs."""
    return {"field": field[:MAX_FIELD_CHARACTERS], "message": message, "type": kind}


def invalid(details: list[dict[str, str]]) -> InvalidRequestError:
    """The refusal of a request with these mistakes."""
    return InvalidRequestError("VALIDATION_ERROR", "The request is not valid.", details[:MAX_DETAILS])


def details_of(error: ValidationError, whole: str) -> list[dict[str, str]]:
    """What Pydantic found, in our words; `whole` names what a mistake outside of all fields is about."""
    mistakes = error.errors(include_url=False, include_input=False)
    return [_detail_of(mistake, whole) for mistake in mistakes]


def _detail_of(mistake: Mapping[str, object], whole: str) -> dict[str, str]:
    place, kind = mistake["loc"], str(mistake["type"])
    field = ".".join(str(step) for step in place) if isinstance(place, tuple) else ""
    message = _MESSAGES.get(kind) or _message_about_length(kind, mistake.get("ctx")) or str(mistake["msg"])
    return detail(field or whole, message, kind)


def _message_about_length(kind: str, bounds: object) -> str | None:
    """In plain words; None for a mistake of another kind."""
    if not isinstance(bounds, Mapping):
        return None
    if kind.endswith("too_long") and "max_length" in bounds:
        return f"must have at most {bounds['max_length']} characters"
    if kind.endswith("too_short") and "min_length" in bounds:
        least = bounds["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    return None
