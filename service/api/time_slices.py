"""Sharing a process: nothing preempts a greenlet, so whoever computes for long lets the others go on."""

from time import time

import gevent  # type: ignore[import-untyped]

_TIME_SLICE_S = 0.002


def yield_if_due() -> None:
    """Lets the others go on, unless the process looked at its sockets a moment ago. Cheap: call it often."""
    if time() - gevent.get_hub().loop.now() > _TIME_SLICE_S:
        gevent.sleep(0)
