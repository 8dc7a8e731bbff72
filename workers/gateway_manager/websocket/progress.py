"""Following an attempt to open a session, step by step."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from service.gateway_states import Phase


def _ignore(_: Phase) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class AttemptProgress:
    """Told each step of an attempt as it begins, on the attempt's thread."""

    on_phase: Callable[[Phase], None] = _ignore
    finish_by: float = inf
    """When the attempt gives up at the latest (monotonic seconds), whatever its steps may take one by one."""

    def bounded(self, deadline: float) -> float:
        """The deadline of a step."""
        return min(deadline, self.finish_by)


NO_PROGRESS = AttemptProgress()
