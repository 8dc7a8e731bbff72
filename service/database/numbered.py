"""A statement in the form in which the server gets to know it: numbered parameters, and a name of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Numbered:
    """SQL with `$n` for parameters, whose names are listed in that order.

    `name` is made of the SQL: two connections that share a session of the server mean the same by it.
    """

    name: bytes
    sql: bytes
    parameters: tuple[str, ...]

    def values(self, parameters: Mapping[str, object]) -> list[object]:
        """What the statement takes, in its order."""
        return [parameters[name] for name in self.parameters]


@cache
def numbered(sql: str) -> Numbered:
    """Of a statement with `%(name)s` parameters; the same number for the same name."""
    numbers: dict[str, int] = {}
    text = _PARAMETER.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", sql)
    if "%" in text.replace("%%", ""):
        raise ValueError("a percent sign that is no parameter has to be doubled")
    encoded = text.replace("%%", "%").encode()
    return Numbered(blake2b(encoded, digest_size=12).hexdigest().encode(), encoded, tuple(numbers))
