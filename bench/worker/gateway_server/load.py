"""Sends notifications at a steady rate over all gateways in turn."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from time import monotonic

from bench.worker.gateway_server.gateways import Gateways

# Real gateways are independent, so their notifications must not come in bursts.
_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a load. `skipped`: messages not sent because the client read too slowly."""

    sent: int
    skipped: int
    took_s: float
    """How long sending took: longer than intended when the server is too slow."""
    unsent_bytes: int
    """Bytes that clients had not read at the end."""


async def push(gateways: Gateways, frames: Sequence[bytes], per_s: float, for_s: float) -> Pushed:
    """Send `per_s` messages a second, evenly over the subscribed gateways and over time."""
    began = monotonic()
    wanted, sent, skipped = round(per_s * for_s), 0, 0
    sessions = list(gateways.subscribed.values())
    targets, contents = cycle(sessions), cycle(frames)
    while sessions and sent + skipped < wanted:
        due = min(wanted, round((monotonic() - began) * per_s))
        for _ in range(due - sent - skipped):
            if next(targets).send(next(contents)):
                sent += 1
            else:
                skipped += 1
        await asyncio.sleep(_TICK_S)
    unsent_bytes = sum(session.unsent_bytes for session in sessions)
    return Pushed(sent, skipped, monotonic() - began, unsent_bytes)
