"""When a connected session has to do what. Pure: times go in, times and decisions come out."""

import math
from dataclasses import dataclass

from workers.gateway_manager.settings import SessionSettings

_BEATS = 120


@dataclass(slots=True)
class SessionClock:
    """Times are monotonic seconds."""

    settings: SessionSettings
    last_seen_at: float
    next_ping_at: float

    @classmethod
    def starting(cls, settings: SessionSettings, now: float, dice: float) -> "SessionClock":
        """`dice` in [0, 1) spreads the pings of gateways that connected together."""
        first_ping_at = now + settings.ping_interval_s * (0.5 + dice / 2)
        return cls(settings, last_seen_at=now, next_ping_at=on_beat(first_ping_at, settings))

    @property
    def wake_at(self) -> float:
        """When there is something to do even if nothing arrives."""
        return min(self.next_ping_at, self.silent_at)

    @property
    def silent_at(self) -> float:
        """When a gateway that sends nothing until then counts as gone."""
        return self.last_seen_at + self.settings.liveness_timeout_s

    def ping_is_due(self, now: float) -> bool:
        """Whether to ping; if so the next one is an interval away."""
        if now < self.next_ping_at:
            return False
        self.next_ping_at = on_beat(now + self.settings.ping_interval_s, self.settings)
        return True


def on_beat(time: float, settings: SessionSettings) -> float:
    """The time, or a little earlier: on a beat that all sessions have in common, `_BEATS` in an interval.

    To wake a machine that sleeps costs more than to send a ping; so it wakes once for many.
    """
    beat_s = settings.ping_interval_s / _BEATS
    return math.floor(time / beat_s) * beat_s
