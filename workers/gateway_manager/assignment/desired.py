"""What should be connected, as last read: all of it from time to time, and in between what changed.

Reading all costs more the more gateways there are. What changed is found by the number of the transaction
that wrote it (`ChangeMark`), whether or not a notification told of it, so polling is still the truth. Only
what neither the API nor this worker did shows later (a row changed by hand, a server that takes over and was
behind): for that everything is read again after some polls.
"""

import threading
from collections.abc import Iterable, Sequence
from math import inf
from time import monotonic
from uuid import UUID

from service.database.engine.query import Executor
from service.database.observed.active_gateways import ActiveGatewayRepository, ChangeMark, HeldGateway
from service.database.observed.workers import WorkerIdentity
from workers.gateway_manager.assignment.cost_limiter import Pace
from workers.gateway_manager.assignment.reconcile import Version

_POLLS_A_WHOLE_LOOK = 15


class WantedGateways:
    """For the manager's thread, but for `look_again`: that any thread may call."""

    def __init__(self, executor: Executor, poll_interval_s: float) -> None:
        self._gateways = ActiveGatewayRepository(executor)
        self._whole_look_every_s = _POLLS_A_WHOLE_LOOK * poll_interval_s
        self._lock = threading.Lock()
        self._again: set[UUID] = set()
        self._pace = Pace()
        self.forget()

    def forget(self) -> None:
        """This is another worker now: nothing that was read counts."""
        self.versions: dict[UUID, Version] = {}
        """What this worker holds and should keep connected."""
        self.count = 0
        """How many should be connected in all, by whomever."""
        self.is_looking_whole = True
        """Everything is read again, not only what changed."""
        self._mark: ChangeMark | None = None
        self._looked_at = 0.0
        self._is_count_old = True

    def look_at_all(self) -> None:
        """Something went wrong: what was read, or not read, may be wrong."""
        self.is_looking_whole = self._is_count_old = True

    def look_again(self, gateway_ids: Iterable[UUID]) -> None:
        """Whether this worker holds these may have changed."""
        with self._lock:
            self._again.update(gateway_ids)

    def notice(self, worker: WorkerIdentity) -> None:
        """Finds out what changed. Raises DatabaseError: `look_at_all` then."""
        mark = self._gateways.find_mark(self._mark)
        is_other_server = self._mark is not None and self._mark.server_started_at != mark.server_started_at
        if self._mark is None or is_other_server or self._is_look_due():
            self.look_at_all()
        elif mark.has_changed:
            self.look_again(self._gateways.find_changed(worker.id, self._mark))
            self._is_count_old = True
        self._mark = mark
        if self._is_count_old and self._pace.is_due():
            started_at = monotonic()
            self.count = self._gateways.count_wanted()
            self._is_count_old = False
            self._pace.took(monotonic() - started_at)

    def due_in_s(self) -> float:
        """How long until `notice` may do what it put off; infinite if that is nothing."""
        return self._pace.left_s() if self._is_count_old else inf

    def read(self, worker: WorkerIdentity) -> Sequence[HeldGateway]:
        """Brings `versions` up to date; returns what it read for that. Raises DatabaseError, as `notice`."""
        with self._lock:
            again, self._again = self._again, set()
        if not (again or self.is_looking_whole):
            return []
        found = self._gateways.find_held(worker.id, None if self.is_looking_whole else again)
        if self.is_looking_whole:
            self.versions.clear()
            self.is_looking_whole = False
            self._looked_at = monotonic()
        for gateway_id in again:
            self.versions.pop(gateway_id, None)
        for gateway in found:
            if gateway.is_wanted:
                self.versions[gateway.id] = (gateway.generation, gateway.connect_requested_at)
        return found

    def _is_look_due(self) -> bool:
        return monotonic() - self._looked_at > self._whole_look_every_s
