"""How often something may be done that costs more the larger the fleet is."""

from time import monotonic

_PART_OF_THE_TIME = 0.05


class Pace:
    """Keeps it to a twentieth of the time. For one thread."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def left_s(self) -> float:
        """How long until it may be done again; 0: now."""
        return max(0.0, self._due_at - monotonic())

    def is_due(self) -> bool:
        """Whether it may be done again."""
        return self.left_s() == 0

    def took(self, seconds: float) -> None:
        """It was done, just now."""
        self._due_at = monotonic() + seconds / _PART_OF_THE_TIME
