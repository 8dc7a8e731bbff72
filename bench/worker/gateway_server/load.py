"""Notifications at a steady rate, over all gateways in turn."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from time import monotonic

from bench.worker.gateway_server.gateways import Gateways

# Gateways know nothing of each other: what they send shall not come in bursts.
_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a load. `behind`: messages that a client did not take in time, so that none was sent."""

    sent: int
    behind: int
    took_s: float
    """How long it took to send them: longer than it was to take when the server is too slow."""
    unsent_bytes: int
    """What clients had not taken yet at its end."""


async def push(gateways: Gateways, frames: Sequence[bytes], per_s: float, for_s: float) -> Pushed:
    """Sends `per_s` messages a second, evenly over the subscribed gateways and over time."""
    began = monotonic()
    wanted, sent, behind = round(per_s * for_s), 0, 0
    sessions = list(gateways.subscribed.values())
    targets, contents = cycle(sessions), cycle(frames)
    while sessions and sent + behind < wanted:
        due = min(wanted, round((monotonic() - began) * per_s))
        for _ in range(due - sent - behind):
            if next(targets).send(next(contents)):
                sent += 1
            else:
                behind += 1
        await asyncio.sleep(_TICK_S)
    unsent_bytes = sum(session.unsent_bytes for session in sessions)
    return Pushed(sent, behind, monotonic() - began, unsent_bytes)
