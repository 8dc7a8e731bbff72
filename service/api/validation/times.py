"""Times in requests: RFC 3339, as programs in any language write it. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

# With the notes of section 5.6: t and z may be lower case, and a space may stand for the T. A space before
# the offset was a plus sign that was not encoded. Of the digits after the point, six count.
_TIME = re.compile(
    r"(2[0-9]{3}-[0-9]{2}-[0-9]{2})[Tt ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
    r"(?:(\.[0-9]{1,6})[0-9]*)?"
    r"(?:[Zz]|([+\- ])([01][0-9]|2[0-3]):([0-5][0-9]))"
)


def parse_time(text: object) -> datetime:
    """A time of this millennium, cut off at microseconds. Raises PydanticCustomError."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        if match is not None:
            return _time_in(match)
    except ValueError:
        pass
    raise PydanticCustomError(
        "time",
        "must be a time from 2000 to 2999 as in RFC 3339, with its offset, such as 2030-01-31T23:59:59Z"
        " (a plus sign is written %2B)",
    )


def _time_in(match: re.Match[str]) -> datetime:
    """Raises ValueError."""
    date, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    is_leap = second == "60"
    written = f"{date}T{hour}:{minute}:{'59' if is_leap else second}{fraction or ''}"
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    at = datetime.fromisoformat(written).replace(tzinfo=UTC) - (-offset if sign == "-" else offset)
    if not is_leap:
        return at
    if (at.hour, at.minute) != (23, 59):
        raise ValueError("a leap second is the last one of a day in UTC")
    return at.replace(microsecond=0) + timedelta(seconds=1)


Time = Annotated[
    datetime,
    PlainValidator(parse_time, json_schema_input_type=str),
    Field(
        json_schema_extra={
            "format": "date-time",
            "pattern": "^2\\d{3}-",
            "examples": ["2030-01-31T23:59:59Z"],
        }
    ),
]
