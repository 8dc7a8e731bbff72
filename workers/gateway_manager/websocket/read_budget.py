"""How much is read of one gateway. Pure: times go in, waits come out."""

from dataclasses import dataclass

from workers.gateway_manager.settings import SessionSettings


@dataclass(slots=True)
class TokenBucket:
    """So much a second, and a burst in hand. What is taken beyond that is owed, and waited for."""

    per_second: float
    burst: float
    max_wait_s: float
    tokens: float
    filled_at: float

    @classmethod
    def full(cls, per_second: float, burst: float, max_wait_s: float, now: float) -> "TokenBucket":
        """A bucket that nothing was taken from."""
        return cls(per_second, burst, max_wait_s, burst, now)

    def take(self, now: float, amount: float) -> float:
        """Takes it and tells how long to wait before taking more, in seconds; 0 for not at all."""
        filled = min(self.burst, self.tokens + (now - self.filled_at) * self.per_second)
        self.tokens = max(filled - amount, -self.max_wait_s * self.per_second)
        self.filled_at = now
        # Waiting for a twentieth of a second's worth at a time keeps a flood from becoming a wake-up each.
        return 0.0 if self.tokens > 0 else max(0.05, -self.tokens / self.per_second)


class ReadBudget:
    """How much we read of one gateway: frames and bytes a second."""

    __slots__ = ("_bytes", "_frames")

    def __init__(self, settings: SessionSettings, now: float) -> None:
        # A gateway that we do not read looks silent after a while: never wait that long.
        max_wait_s = settings.liveness_timeout_s / 2
        frames_per_s, bytes_per_s = settings.max_messages_per_s, settings.max_bytes_per_s
        burst_bytes = max(bytes_per_s, settings.max_message_bytes)
        self._frames = TokenBucket.full(frames_per_s, frames_per_s, max_wait_s, now)
        self._bytes = TokenBucket.full(bytes_per_s, burst_bytes, max_wait_s, now)

    def take(self, now: float, frames: int, size: int) -> float:
        """Takes what was read and tells how long to wait before reading on, in seconds; 0 for not at all."""
        return max(self._frames.take(now, frames), self._bytes.take(now, size))
