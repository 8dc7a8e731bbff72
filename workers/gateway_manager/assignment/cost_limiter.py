"""Limits how much time an operation may take whose cost grows with the fleet."""

from time import monotonic

_TIME_SHARE = 0.05
_MAX_CREDIT_S = 0.5
_MAX_PAUSE_S = 5.0


class CostLimiter:
    """Allows about 5 % of the time, with a small burst: rare operations run immediately. For one thread."""

    def __init__(self) -> None:
        self._credit_s = _MAX_CREDIT_S
        self._credited_at = monotonic()

    def wait_s(self) -> float:
        """Seconds until the operation may run; 0 if it may run now."""
        now = monotonic()
        self._credit_s = min(_MAX_CREDIT_S, self._credit_s + (now - self._credited_at) * _TIME_SHARE)
        self._credited_at = now
        return max(0.0, -self._credit_s / _TIME_SHARE)

    def is_due(self) -> bool:
        """Whether the operation may run now."""
        return self.wait_s() == 0

    def charge(self, seconds: float) -> None:
        """Charges a run that has just ended. The wait for the next one is bounded."""
        self._credit_s = max(self._credit_s - seconds, -_MAX_PAUSE_S * _TIME_SHARE)
