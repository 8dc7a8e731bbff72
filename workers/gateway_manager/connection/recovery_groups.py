"""Which gateways of a worker share a fate, and what they learn from each other."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from workers.gateway_manager.connection.recovery import Call, RecoveryGroup

_MANY_GROUPS = 1000
# More than so many returns between two reports are no site's: what is beyond is not announced.
_MOST_ANNOUNCED = 200


@dataclass(slots=True)
class _Member:
    call: Callable[[float], None]
    groups: list[str] = field(default_factory=list)


class RecoveryGroups:
    """Any thread may call. Whoever is called sooner is told on the thread of the one that is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[str, RecoveryGroup] = {}
        self._prune_at = _MANY_GROUPS
        self._members: dict[UUID, _Member] = {}
        self._begun: list[str] = []
        """Groups whose returns other workers have not been told of."""

    def failed(
        self, gateway_id: UUID, groups: list[str], retry_at: float, call: Callable[[float], None]
    ) -> float:
        """An attempt failed, or a session ended, for a reason that the gateways of these groups may share.

        When to try again (monotonic seconds): `retry_at`, or sooner. Until the next attempt `call` is told if
        it is to be sooner still; it must not wait.
        """
        now = monotonic()
        with self._lock:
            self._leave(gateway_id, keep=groups)
            self._members[gateway_id] = _Member(call, groups)
            for key in groups:
                sooner_at = self._group(key, now).failed(gateway_id, retry_at, now)
                if sooner_at < retry_at:
                    retry_at = sooner_at
                    self._call_elsewhere(key, gateway_id, retry_at)
        return retry_at

    def queued(self, gateway_id: UUID) -> None:
        """It waits for its turn to be tried, for who knows how long, and may be called."""
        now = monotonic()
        calls = []
        with self._lock:
            if (member := self._members.get(gateway_id)) is not None:
                for key in member.groups:
                    calls += self._callbacks(key, self._groups[key].queued(gateway_id, now))
        _make(calls)

    def attempting(self, gateway_id: UUID) -> None:
        """An attempt begins."""
        with self._lock:
            if (member := self._members.get(gateway_id)) is not None:
                for key in member.groups:
                    self._groups[key].attempting(gateway_id)

    def forget(self, gateway_id: UUID) -> None:
        """It is gone, or waits for a reason of its own."""
        with self._lock:
            self._leave(gateway_id)

    def recovered(self, gateway_id: UUID, *, is_steady: bool) -> None:
        """It can be reached. `is_steady`: its last session, if it had any, did not end soon."""
        now = monotonic()
        with self._lock:
            member = self._members.pop(gateway_id, None)
            calls = []
            for key in member.groups if member is not None else ():
                group = self._groups[key]
                returns = group.returns
                calls += self._callbacks(key, group.recovered(gateway_id, now, is_steady=is_steady))
                if group.returns > returns and len(self._begun) < _MOST_ANNOUNCED:
                    self._begun.append(key)
        _make(calls)

    def returned_elsewhere(self, key: str) -> None:
        """Another worker says that a return of this group began."""
        with self._lock:
            group = self._groups.get(key)
            calls = [] if group is None else self._callbacks(key, group.returned_elsewhere(monotonic()))
        _make(calls)

    def take_begun(self) -> list[str]:
        """Groups whose return began here since the last call."""
        with self._lock:
            begun, self._begun = self._begun, []
        return begun

    def _group(self, key: str, now: float) -> RecoveryGroup:
        if key not in self._groups:
            if len(self._groups) >= self._prune_at:
                self._groups = {k: group for k, group in self._groups.items() if not group.is_idle(now)}
                self._prune_at = max(_MANY_GROUPS, 2 * len(self._groups))
            self._groups[key] = RecoveryGroup()
        return self._groups[key]

    def _leave(self, gateway_id: UUID, keep: list[str] | None = None) -> None:
        member = self._members.pop(gateway_id, None)
        for key in member.groups if member is not None else ():
            if key not in (keep or ()):
                self._groups[key].forget(gateway_id)

    def _callbacks(self, key: str, calls: list[Call]) -> list[tuple[Callable[[float], None], float]]:
        """Whom to tell what; their other groups are told here."""
        for gateway_id, at in calls:
            self._call_elsewhere(key, gateway_id, at)
        return [(self._members[gateway_id].call, at) for gateway_id, at in calls]

    def _call_elsewhere(self, key: str, gateway_id: UUID, at: float) -> None:
        for other in self._members[gateway_id].groups:
            if other != key and other in self._groups:
                self._groups[other].called_elsewhere(gateway_id, at)


def _make(calls: list[tuple[Callable[[float], None], float]]) -> None:
    for call, at in calls:
        call(at)
