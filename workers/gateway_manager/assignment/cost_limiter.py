"""How often something may be done that costs more the larger the fleet is."""

from time import monotonic

_PART_OF_THE_TIME = 0.05
_MOST_SAVED_S = 0.5
_LONGEST_PAUSE_S = 5.0


class Pace:
    """Keeps it to about a twentieth of the time; what is rare is done at once. For one thread."""

    def __init__(self) -> None:
        self._saved_s = _MOST_SAVED_S
        self._saved_at = monotonic()

    def left_s(self) -> float:
        """How long until it may be done again; 0: now."""
        now = monotonic()
        self._saved_s = min(_MOST_SAVED_S, self._saved_s + (now - self._saved_at) * _PART_OF_THE_TIME)
        self._saved_at = now
        return max(0.0, -self._saved_s / _PART_OF_THE_TIME)

    def is_due(self) -> bool:
        """Whether it may be done now."""
        return self.left_s() == 0

    def took(self, seconds: float) -> None:
        """It was done, just now. However long that took, the next time is not far."""
        self._saved_s = max(self._saved_s - seconds, -_LONGEST_PAUSE_S * _PART_OF_THE_TIME)
