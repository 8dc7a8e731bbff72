"""Sharing a process: nothing preempts a greenlet, so whoever computes for long lets the others go on."""

from collections.abc import Iterable, Iterator
from time import time
from typing import TypeVar

import gevent  # type: ignore[import-untyped]

_TIME_SLICE_S = 0.002
_ITEMS_A_LOOK = 16
Item = TypeVar("Item")


def yield_if_due() -> None:
    """Lets the others go on, unless the process looked at its sockets a moment ago. Cheap: call it often."""
    if time() - gevent.get_hub().loop.now() > _TIME_SLICE_S:
        gevent.sleep(0)


def paced(items: Iterable[Item]) -> Iterator[Item]:
    """The items, with turns for others now and then: for loops over thousands, a fraction of a ms each."""
    for number, item in enumerate(items):
        if number % _ITEMS_A_LOOK == 0:
            yield_if_due()
        yield item
