"""Sharing a process: nothing preempts a greenlet, so whoever computes for long lets the others go on."""

from collections.abc import Iterable, Iterator
from time import time
from typing import TypeVar

import gevent  # type: ignore[import-untyped]

_TIME_SLICE_S = 0.002
Item = TypeVar("Item")


def yield_if_due() -> None:
    """Lets the others go on, unless the process looked at its sockets a moment ago. Cheap: call it often."""
    hub = gevent.get_hub()
    if time() - hub.loop.now() > _TIME_SLICE_S:
        # Not sleep(0): that comes back dozens of times before the loop looks at sockets and timers.
        with hub.loop.timer(0) as due_now:
            hub.wait(due_now)


def paced(items: Iterable[Item]) -> Iterator[Item]:
    """The items, with turns for others between them as they are due."""
    for item in items:
        yield_if_due()
        yield item
