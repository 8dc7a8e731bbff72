"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_INTERVAL_S = 0.01
Result = TypeVar("Result")


def wait_until(
    condition: Callable[[], Result], timeout_s: float = 5.0, what: str = "the condition to hold"
) -> Result:
    """Call `condition` until it returns a true value, and return that.

    Raises AssertionError with `what` and the last value on timeout. An exception in `condition` passes
    through immediately.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}; the last value was {answer!r}")
        time.sleep(POLL_INTERVAL_S)
