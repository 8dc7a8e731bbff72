"""What `metadata` may be: JSON that PostgreSQL can store, of a bounded depth and size. Pure."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from typing import Any

from pydantic_core import PydanticCustomError

from service.api.validation.texts import check_text

MAX_DEPTH = 16
MAX_BYTES = 64 * 1024
MAX_INTEGER = 2**63
# None takes less than two bytes: more need not be looked at one by one, which takes longer than to read them.
_MOST_VALUES = MAX_BYTES // 2

_ENCODER = json.JSONEncoder(ensure_ascii=False)


def check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Raises PydanticCustomError. Its size is that of what is read of it: numbers come without exponents."""
    for count, (value, depth) in enumerate(_values(metadata)):
        if count > _MOST_VALUES:
            raise _too_big()
        _check_value(value, depth)
    if shown_bytes(metadata) > MAX_BYTES:
        raise _too_big()
    return metadata


def _too_big() -> PydanticCustomError:
    return PydanticCustomError(
        "metadata_size", f"must be at most {MAX_BYTES} bytes of JSON, with numbers written out"
    )


def shown_bytes(metadata: dict[str, Any]) -> int:
    """How long it is as PostgreSQL writes it: numbers without exponents, however small they are."""
    numbers = (value for value, _ in _values(metadata) if isinstance(value, float))
    growth = sum(len(format(Decimal(repr(number)), "f")) - len(repr(number)) for number in numbers)
    return len(_ENCODER.encode(metadata).encode()) + growth


def _values(metadata: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """All values, names among them, each with its depth; a parent before its children."""
    inside: list[Iterator[Any]] = [iter((metadata,))]
    while inside:
        for value in inside[-1]:
            yield value, len(inside)
            if isinstance(value, dict):
                inside.append(chain.from_iterable(value.items()))
                break
            if isinstance(value, list):
                inside.append(iter(value))
                break
        else:
            inside.pop()


def _check_value(value: object, depth: int) -> None:
    if isinstance(value, (dict, list)) and depth > MAX_DEPTH:
        raise PydanticCustomError("metadata_depth", f"must be at most {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("metadata_number", "must not contain a number that is not finite")
    elif isinstance(value, (int, float)) and not -MAX_INTEGER <= value < MAX_INTEGER:
        # A float this big is an integer, too: PostgreSQL would return it as one.
        raise PydanticCustomError("metadata_number", "must not contain a number beyond 64 bits")
