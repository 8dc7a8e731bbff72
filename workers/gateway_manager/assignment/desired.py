"""Desired state as last read: incremental reads of what changed, with a full read from time to time.

A full read costs more the more gateways there are. Changes are found by the number of the transaction
that wrote them (`Watermark`), whether or not a notification arrived, so polling is still the truth. Only
changes that neither the API nor this worker made are missed (a row changed by hand, a failover to a server
that lagged): the full reads find those.
"""

import threading
from collections.abc import Iterable, Sequence
from math import inf
from time import monotonic
from uuid import UUID

from service.database.engine.query import Executor
from service.database.observed.active_gateways import ActiveGatewayRepository, HeldGateway, Watermark
from service.database.observed.workers import WorkerIdentity
from workers.gateway_manager.assignment.cost_limiter import CostLimiter
from workers.gateway_manager.assignment.reconcile import Version

_POLLS_PER_FULL_READ = 15


class DesiredGateways:
    """For the manager's thread; any thread may call `mark_stale`."""

    def __init__(self, executor: Executor, poll_interval_s: float) -> None:
        self._gateways = ActiveGatewayRepository(executor)
        self._full_read_interval_s = _POLLS_PER_FULL_READ * poll_interval_s
        self._lock = threading.Lock()
        self._stale: set[UUID] = set()
        self._count_limiter = CostLimiter()
        self.forget()

    def forget(self) -> None:
        """Forgets everything that was read: this is another worker now."""
        self.versions: dict[UUID, Version] = {}
        """Gateways that this worker holds and should keep connected."""
        self.count = 0
        """How many gateways should be connected in total, by all workers."""
        self.needs_full_read = True
        """The next read is a full one."""
        self._mark: Watermark | None = None
        self._read_at = 0.0
        self._is_count_stale = True

    def mark_all_stale(self) -> None:
        """Makes the next read a full one, after an error."""
        self.needs_full_read = self._is_count_stale = True

    def mark_stale(self, gateway_ids: Iterable[UUID]) -> None:
        """Reads these again: this worker may have claimed or released them."""
        with self._lock:
            self._stale.update(gateway_ids)

    def poll(self, worker: WorkerIdentity) -> None:
        """Finds what changed. Raises DatabaseError: call `mark_all_stale` then."""
        mark = self._gateways.find_watermark(self._mark)
        is_other_server = self._mark is not None and self._mark.server_started_at != mark.server_started_at
        if self._mark is None or is_other_server or self._is_full_read_due():
            self.mark_all_stale()
        elif mark.has_changed:
            self.mark_stale(self._gateways.find_changed(worker.id, self._mark))
            self._is_count_stale = True
        self._mark = mark
        if self._is_count_stale and self._count_limiter.is_due():
            started_at = monotonic()
            self.count = self._gateways.count_wanted()
            self._is_count_stale = False
            self._count_limiter.charge(monotonic() - started_at)

    def due_in_s(self) -> float:
        """How long until `notice` may do what it put off; infinite if that is nothing."""
        return self._count_limiter.wait_s() if self._is_count_stale else inf

    def read(self, worker: WorkerIdentity) -> Sequence[HeldGateway]:
        """Updates `versions` and returns the rows it read. Raises DatabaseError, as `poll`."""
        with self._lock:
            stale, self._stale = self._stale, set()
        if not (stale or self.needs_full_read):
            return []
        found = self._gateways.find_active(worker.id, None if self.needs_full_read else stale)
        if self.needs_full_read:
            self.versions.clear()
            self.needs_full_read = False
            self._read_at = monotonic()
        for gateway_id in stale:
            self.versions.pop(gateway_id, None)
        for gateway in found:
            if gateway.is_wanted:
                self.versions[gateway.id] = (gateway.generation, gateway.connect_requested_at)
        return found

    def _is_full_read_due(self) -> bool:
        return monotonic() - self._read_at > self._full_read_interval_s
