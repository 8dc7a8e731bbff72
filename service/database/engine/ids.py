"""Ids for rows that are not there yet.

Gateways and connection tests get theirs here: a password is sealed for the id of its row, so the id has to be
known before the row is. All other rows get theirs from PostgreSQL, by the default `uuidv7()` of their column,
which also holds for what is inserted by hand. Both are of the same kind.
"""

import time
from secrets import randbits
from uuid import UUID

_FRACTION_BITS = 12
_RANDOM_BITS = 62


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562), as PostgreSQL's uuidv7() makes them.

    Its time is this machine's, to a quarter of a microsecond, and only there to put rows that are made one
    after the other beside one another. Any thread may call.
    """
    milliseconds, rest_ns = divmod(time.time_ns(), 1_000_000)
    fraction = (rest_ns << _FRACTION_BITS) // 1_000_000
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | randbits(_RANDOM_BITS))
