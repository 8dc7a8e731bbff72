"""When a connected session pings, and when its silence counts as a failure. Pure: times in, decisions out."""

import math
from dataclasses import dataclass

from workers.gateway_manager.settings import SessionSettings

_TICKS = 120


@dataclass(slots=True)
class SessionClock:
    """Times are monotonic seconds."""

    settings: SessionSettings
    last_seen_at: float
    next_ping_at: float

    @classmethod
    def starting(cls, settings: SessionSettings, now: float, random_fraction: float) -> "SessionClock":
        """`random_fraction` in [0, 1) spreads the pings of gateways that connected together."""
        first_ping_at = now + settings.ping_interval_s * (0.5 + random_fraction / 2)
        return cls(settings, last_seen_at=now, next_ping_at=align_to_tick(first_ping_at, settings))

    @property
    def wake_at(self) -> float:
        """When the session has to act even if nothing arrives."""
        return min(self.next_ping_at, self.silent_at)

    @property
    def silent_at(self) -> float:
        """When a gateway that has sent nothing counts as lost."""
        return self.last_seen_at + self.settings.liveness_timeout_s

    def ping_is_due(self, now: float) -> bool:
        """Whether to ping now; schedules the next ping if so."""
        if now < self.next_ping_at:
            return False
        self.next_ping_at = align_to_tick(now + self.settings.ping_interval_s, self.settings)
        return True


def align_to_tick(time: float, settings: SessionSettings) -> float:
    """The time, rounded down to a tick that all sessions share, `_TICKS` per ping interval.

    Waking an idle machine costs more than sending a ping, so it wakes once for many sessions.
    """
    tick_s = settings.ping_interval_s / _TICKS
    return math.floor(time / tick_s) * tick_s
