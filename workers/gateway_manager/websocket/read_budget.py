"""How much to read from one gateway. Pure: times in, waits out."""

from dataclasses import dataclass

from workers.gateway_manager.settings import SessionSettings


@dataclass(slots=True)
class TokenBucket:
    """A rate per second, and a burst. What is taken beyond that is owed, and waited for."""

    per_second: float
    burst: float
    max_wait_s: float
    tokens: float
    filled_at: float

    @classmethod
    def full(cls, per_second: float, burst: float, max_wait_s: float, now: float) -> "TokenBucket":
        """A full bucket."""
        return cls(per_second, burst, max_wait_s, burst, now)

    def take(self, now: float, amount: float) -> float:
        """Takes an amount; returns how many seconds to wait before taking more."""
        filled = min(self.burst, self.tokens + (now - self.filled_at) * self.per_second)
        self.tokens = max(filled - amount, -self.max_wait_s * self.per_second)
        self.filled_at = now
        # Wait for at least 0.05 s, so that a flood does not wake the thread for each frame.
        return 0.0 if self.tokens > 0 else max(0.05, -self.tokens / self.per_second)


class ReadBudget:
    """Limits what is read from one gateway: frames and bytes per second."""

    __slots__ = ("_bytes", "_frames")

    def __init__(self, settings: SessionSettings, now: float) -> None:
        # A gateway that is not read looks silent after a while: never wait that long.
        max_wait_s = settings.liveness_timeout_s / 2
        frames_per_s, bytes_per_s = settings.max_messages_per_s, settings.max_bytes_per_s
        burst_bytes = max(bytes_per_s, settings.max_message_bytes)
        self._frames = TokenBucket.full(frames_per_s, frames_per_s, max_wait_s, now)
        self._bytes = TokenBucket.full(bytes_per_s, burst_bytes, max_wait_s, now)

    def take(self, now: float, frames: int, size: int) -> float:
        """Takes what was read; returns how many seconds to wait before reading more."""
        return max(self._frames.take(now, frames), self._bytes.take(now, size))
