"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_INTERVAL_S = 0.01
Result = TypeVar("Result")


def wait_until(
    condition: Callable[[], Result], timeout_s: float = 5.0, what: str = "the condition to hold"
) -> Result:
    """Ask `condition` until it answers something true, and return that answer.

    Raises AssertionError naming `what` and the last answer when the time is over. An exception in `condition`
    passes through at once.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}; the last answer was {answer!r}")
        time.sleep(POLL_INTERVAL_S)
