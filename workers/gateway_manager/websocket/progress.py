"""Following an attempt to open a session, step by step."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from service.gateway_states import Phase


def _ignore(_: Phase) -> None:
    """Ignores the phase."""


@dataclass(frozen=True, slots=True)
class AttemptProgress:
    """Receives each step of an attempt as it begins, on the attempt's thread."""

    on_phase: Callable[[Phase], None] = _ignore
    finish_by: float = inf
    """The deadline of the whole attempt (monotonic seconds), which overrides those of its steps."""

    def clamp_to_deadline(self, deadline: float) -> float:
        """A step's deadline, no later than that of the attempt."""
        return min(deadline, self.finish_by)


NO_PROGRESS = AttemptProgress()
