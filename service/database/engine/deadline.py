"""By when the database has to have answered: set once for a request, counted down by all that it asks."""

from contextvars import ContextVar
from time import monotonic

REQUEST_LIMIT_S = 4.0
"""For all that a request asks of the database."""
BULK_LIMIT_S = 30.0
"""For one that writes as many rows as there are."""

_DEADLINE: ContextVar[float | None] = ContextVar("database deadline", default=None)
_SHORTEST_S = 0.001


def set_deadline(limit_s: float) -> None:
    """From now on this thread waits for the database for `limit_s` seconds in all, until it is told anew."""
    _DEADLINE.set(monotonic() + limit_s)


def bounded(wait_s: float) -> float:
    """`wait_s`, or what is left until the deadline, if there is one and that is less; never nothing."""
    deadline = _DEADLINE.get()
    return wait_s if deadline is None else max(_SHORTEST_S, min(wait_s, deadline - monotonic()))
