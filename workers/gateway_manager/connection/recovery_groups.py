"""Which gateways of a worker fail together, and which of them to retry early."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from workers.gateway_manager.connection.recovery import EarlyRetry, RecoveryGroup

_PRUNE_THRESHOLD = 1000
# Recoveries between two reports; any beyond are not announced to other workers.
_MAX_ANNOUNCED = 200


@dataclass(slots=True)
class _Member:
    retry_early: Callable[[float], None]
    groups: list[str] = field(default_factory=list)


class RecoveryGroups:
    """Any thread may call. Early retries are requested on the thread of the gateway that recovered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[str, RecoveryGroup] = {}
        self._prune_at = _PRUNE_THRESHOLD
        self._members: dict[UUID, _Member] = {}
        self._started: list[str] = []
        """Groups whose recoveries have not been announced to other workers."""

    def failed(
        self, gateway_id: UUID, groups: list[str], retry_at: float, retry_early: Callable[[float], None]
    ) -> float:
        """An attempt failed, or a session ended, for a reason that the gateways of these groups may share.

        Returns when to retry (monotonic seconds): `retry_at`, or sooner. Until the next attempt `retry_early`
        is called with an even earlier time, if there is one; it must not block.
        """
        now = monotonic()
        with self._lock:
            self._leave(gateway_id, keep=groups)
            self._members[gateway_id] = _Member(retry_early, groups)
            for key in groups:
                sooner_at = self._group(key, now).failed(gateway_id, retry_at, now)
                if sooner_at < retry_at:
                    retry_at = sooner_at
                    self._share_retry(key, gateway_id, retry_at)
        return retry_at

    def queued(self, gateway_id: UUID) -> None:
        """It waits for a slot, and may be retried early."""
        now = monotonic()
        retries = []
        with self._lock:
            if (member := self._members.get(gateway_id)) is not None:
                for key in member.groups:
                    retries += self._callbacks(key, self._groups[key].queued(gateway_id, now))
        _make(retries)

    def attempting(self, gateway_id: UUID) -> None:
        """An attempt begins."""
        with self._lock:
            if (member := self._members.get(gateway_id)) is not None:
                for key in member.groups:
                    self._groups[key].attempting(gateway_id)

    def forget(self, gateway_id: UUID) -> None:
        """It has stopped, or failed for an unrelated reason."""
        with self._lock:
            self._leave(gateway_id)

    def recovered(self, gateway_id: UUID, *, was_stable: bool) -> None:
        """It is reachable. `was_stable`: its last session, if it had one, did not end soon."""
        now = monotonic()
        with self._lock:
            member = self._members.pop(gateway_id, None)
            retries = []
            for key in member.groups if member is not None else ():
                group = self._groups[key]
                recoveries = group.recoveries
                retries += self._callbacks(key, group.recovered(gateway_id, now, was_stable=was_stable))
                if group.recoveries > recoveries and len(self._started) < _MAX_ANNOUNCED:
                    self._started.append(key)
        _make(retries)

    def recovery_started_elsewhere(self, key: str) -> None:
        """Another worker announced a recovery of this group."""
        with self._lock:
            group = self._groups.get(key)
            retries = (
                [] if group is None else self._callbacks(key, group.recovery_started_elsewhere(monotonic()))
            )
        _make(retries)

    def take_started(self) -> list[str]:
        """Groups whose recovery began on this worker since the last call."""
        with self._lock:
            started, self._started = self._started, []
        return started

    def _group(self, key: str, now: float) -> RecoveryGroup:
        if key not in self._groups:
            if len(self._groups) >= self._prune_at:
                self._groups = {k: group for k, group in self._groups.items() if not group.is_idle(now)}
                self._prune_at = max(_PRUNE_THRESHOLD, 2 * len(self._groups))
            self._groups[key] = RecoveryGroup()
        return self._groups[key]

    def _leave(self, gateway_id: UUID, keep: list[str] | None = None) -> None:
        member = self._members.pop(gateway_id, None)
        for key in member.groups if member is not None else ():
            if key not in (keep or ()):
                self._groups[key].forget(gateway_id)

    def _callbacks(self, key: str, retries: list[EarlyRetry]) -> list[tuple[Callable[[float], None], float]]:
        """The callbacks to make; updates the other groups of those members."""
        for gateway_id, at in retries:
            self._share_retry(key, gateway_id, at)
        return [(self._members[gateway_id].retry_early, at) for gateway_id, at in retries]

    def _share_retry(self, key: str, gateway_id: UUID, at: float) -> None:
        for other in self._members[gateway_id].groups:
            if other != key and other in self._groups:
                self._groups[other].retried_elsewhere(gateway_id, at)


def _make(retries: list[tuple[Callable[[float], None], float]]) -> None:
    for retry_early, at in retries:
        retry_early(at)
