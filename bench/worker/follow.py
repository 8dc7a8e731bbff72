"""Measures the delay from a change at a gateway until its status shows it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic

from bench.environment import BenchEnvironment
from bench.worker.managers import Manager, Seen

STEP_S = 0.005
LOOK_EVERY_S = 0.01
"""How often a status is polled: on average a change is found late by half of that, and by a request."""
LAST_CHANGES_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds until changes showed. `unseen`: changes that did not show in time."""

    lost: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    unseen: int = 0


@dataclass(slots=True)
class _Followed:
    """A gateway whose session was cut, and what its status has to show next."""

    before: Seen
    cut_at: float
    back_at: float | None = None
    is_shown_lost: bool = False
    looked_at: float = 0.0


class Follower:
    """Cuts sessions at a steady rate and polls the status of every second one. For one thread."""

    def __init__(self, env: BenchEnvironment, manager: Manager, names: Iterator[str]) -> None:
        """`names`: the gateways whose sessions are cut in turn."""
        self._env = env
        self._manager = manager
        self._fleet = manager.fleet
        self._names = names
        self._followed: dict[str, _Followed] = {}
        self._lost: list[float] = []
        self._back: list[float] = []

    def follow(self, per_s: float, for_s: float) -> Delays:
        """Cut `per_s` sessions a second and wait until the followed ones are back. Raises StackError."""
        self._fleet.take_back()
        began, cuts = monotonic(), 0
        while (elapsed_s := monotonic() - began) < for_s + LAST_CHANGES_LIMIT_S:
            if elapsed_s < for_s:
                due = int(elapsed_s * per_s) - cuts
                for _ in range(due):
                    self._cut(is_followed=cuts % 2 == 0)
                    cuts += 1
            elif not self._followed:
                break
            self._look()
            self._env.pause(STEP_S)
        return Delays(self._lost, self._back, len(self._followed))

    def _cut(self, *, is_followed: bool) -> None:
        name = next(self._names)
        before = self._manager.status(name) if is_followed else None
        at = self._fleet.cut([name])
        if before is not None:
            self._followed[name] = _Followed(before, at)

    def _look(self) -> None:
        for name, at in self._fleet.take_back().items():
            if name in self._followed:
                self._followed[name].back_at = at
        for name, followed in list(self._followed.items()):
            is_waited_for = followed.back_at is not None or not followed.is_shown_lost
            if is_waited_for and monotonic() - followed.looked_at >= LOOK_EVERY_S:
                self._look_at(name, followed)

    def _look_at(self, name: str, followed: _Followed) -> None:
        seen = self._manager.status(name)
        now = followed.looked_at = monotonic()
        is_new = seen.since != followed.before.since
        if not followed.is_shown_lost and (is_new or not seen.is_connected):
            followed.is_shown_lost = True
            self._lost.append(now - followed.cut_at)
        if followed.back_at is not None and is_new and seen.is_connected:
            self._back.append(now - followed.back_at)
            del self._followed[name]
