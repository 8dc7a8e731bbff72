"""Reconciles desired and running: claims gateways, starts, changes and stops their connections."""

import logging
import threading
from collections.abc import Iterable
from time import monotonic
from uuid import UUID

from service.database.engine.pool import Database
from service.database.observed.active_gateways import ActiveGatewayRepository, SealedLogin
from service.database.observed.connections import BEFORE_ALL, ConnectionRepository
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from service.errors import DatabaseError
from service.gateway_states import State
from service.logs import write_counts
from service.ongoing_failure import OngoingFailure
from service.threads import NoThreadError
from workers.gateway_manager.assignment.cost_limiter import CostLimiter
from workers.gateway_manager.assignment.desired import DesiredGateways
from workers.gateway_manager.assignment.drain import DrainWindow
from workers.gateway_manager.assignment.quotas import Quota, quota_for
from workers.gateway_manager.assignment.reconcile import make_plan
from workers.gateway_manager.assignment.take_over_log import log_claimed, log_reaped
from workers.gateway_manager.capacity import Capacity
from workers.gateway_manager.connection.connection import ConnectionContext, GatewayConnection
from workers.gateway_manager.lease.lease import Lease
from workers.gateway_manager.states import NO_CAPACITY, REBALANCED, REQUESTED, WORKER_SHUTDOWN
from workers.gateway_manager.websocket.transport import describe

log = logging.getLogger("millgate.manager")

_CLAIM_BATCH = 500
_MAX_HAND_OVERS = 50
_LOGIN_BATCH = 500
_MIN_PAUSE_S = 0.02
_MAX_PAUSE_S = 0.5
_HAND_OVER_PAUSE_S = 0.05


class GatewayConnectionManager:
    """`run` and `drain` belong to one thread; any thread may call the other public methods."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        context: ConnectionContext,
        capacity: Capacity,
        poll_interval_s: float,
    ) -> None:
        self._database = database
        self._lease = lease
        self._context = context
        self._capacity = capacity
        self._poll_interval_s = poll_interval_s
        self._desired = DesiredGateways(database, poll_interval_s)
        self._claim_limiter = CostLimiter()
        self._may_be_free = True
        """Whether some gateways may be unclaimed: by the workers' counts, or after a wake-up."""
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[UUID, GatewayConnection] = {}
        self._owner: WorkerIdentity | None = None
        self._reading = OngoingFailure(
            log,
            begins="cannot read desired state: %s; existing sessions continue, changes wait;"
            " check PostgreSQL, see docs/runbook.md#database-away",
            ends="desired state is read again, after %.1f s",
        )
        self._handing_over = OngoingFailure(
            log,
            begins="cannot hand gateways over: %s; retrying; check PostgreSQL, see"
            " docs/runbook.md#database-away",
            ends="gateways are handed over again, after %.1f s",
        )

        self._room = OngoingFailure(
            log,
            begins="all workers are full: %d gateways wait until one has room; start another worker, or raise"
            " the limits of those that run, see docs/runbook.md#worker-full",
            ends="the workers have room for all gateways again, after %.1f s",
        )

    def wake(self) -> None:
        """Something changed: reconcile now."""
        self._woken.set()

    def released(self, gateway_ids: Iterable[UUID]) -> None:
        """The database has recorded that these are free."""
        self._desired.mark_stale(gateway_ids)
        self.wake()

    def forget(self, gateway_id: UUID) -> None:
        """Forgets a connection whose thread is ending. Called by that thread."""
        with self._lock:
            self._connections.pop(gateway_id, None)

    def reduce_capacity(self, what: str) -> None:
        """Lowers the capacity, after the system had no resources for a connection. Any thread may call."""
        connected = self._context.registry.count_states()[State.CONNECTED]
        self._capacity.reduce(max(connected, min(len(self._running()), self._capacity.current()) - 1), what)
        self.wake()

    def run(self, stopping: threading.Event) -> None:
        """Reconciles again and again, until `stopping` is set (and `wake` called)."""
        while not stopping.is_set():
            began_at = monotonic()
            try:
                self._reconcile()
                self._reading.over()
            except DatabaseError as error:
                self._reading.failed(error)
                self._desired.mark_all_stale()
            write_counts()
            # Handle a burst of changes together, and spend at most half of the time on it.
            stopping.wait(max(_MIN_PAUSE_S, min(monotonic() - began_at, _MAX_PAUSE_S)))
            if self._woken.wait(self._pause_s()):
                self._may_be_free = True
            self._woken.clear()

    def drain(self, timeout_s: float, hurried: threading.Event) -> None:
        """Closes sessions a few at a time, as other workers take the gateways over.

        Returns when none is left, when no other worker has capacity, when the time is up, or once
        `hurried` is set. For the thread of `run`, after that; the lease must have announced the drain.
        """
        deadline = monotonic() + timeout_s
        window = DrainWindow(monotonic())
        while monotonic() < deadline and not hurried.is_set():
            try:
                if not self._drain_step(window):
                    return
                self._handing_over.over()
            except DatabaseError as error:
                self._handing_over.failed(error)
            self._woken.wait(_HAND_OVER_PAUSE_S)
            self._woken.clear()

    def _drain_step(self, window: DrainWindow) -> bool:
        """One round; returns whether to continue."""
        worker = self._lease.worker
        ids = self._context.registry.ids_connected()
        connected = [each for each in self._running() if each.id in ids and not each.is_stopping]
        if worker is None or not connected:
            return False
        self._desired.poll(worker)
        self._reconcile_connections(worker)
        loads = WorkerRepository(self._database).find_loads(worker)
        others = [one for one in loads if one.worker_id != worker.id and not one.is_draining]
        if not any(one.held < one.capacity for one in others):
            return False
        acknowledged = ConnectionRepository(self._database, worker).find_taken_up(window.unacknowledged)
        now = monotonic()
        window.acknowledge(acknowledged, now)
        following = set(window.release((each.id for each in connected), now))
        for connection in connected:
            if connection.id in following:
                connection.stop(WORKER_SHUTDOWN)
        return True

    def stop_all(self, timeout_s: float) -> bool:
        """Closes every session and ends its thread; returns whether all ended in time."""
        connections = self._running()
        for connection in connections:
            connection.stop(WORKER_SHUTDOWN)
        return _join_all(connections, timeout_s)

    def abort_all(self) -> None:
        """Closes every socket without sending anything: the lease is lost. Returns when done, within 5 s."""
        connections = self._running()
        for connection in connections:
            connection.abort()
        if not _join_all(connections, timeout_s=5):
            raise AssertionError("a connection outlived its lease")

    def _pause_s(self) -> float:
        """Until the next poll, or until a deferred operation may run."""
        claim_in_s = self._claim_limiter.wait_s() if self._may_be_free else self._poll_interval_s
        return min(self._poll_interval_s, claim_in_s, self._desired.due_in_s())

    def _reconcile(self) -> None:
        worker = self._lease.worker
        if worker != self._owner:
            self._reset(worker)
        if worker is None:
            return
        self._reap()
        self._desired.poll(worker)
        # Count before asking the database: what it releases in between has left and needs no replacement.
        leaving = self._count_leaving()
        loads = WorkerRepository(self._database).find_loads(worker, self._capacity.current())
        quota = quota_for(worker.id, self._desired.count, [one for one in loads if not one.is_draining])
        self._note_room(self._desired.count - sum(one.capacity for one in loads))
        if self._desired.count > sum(one.held for one in loads) or self._desired.needs_full_read:
            self._may_be_free = True
        if self._may_be_free and self._claim_limiter.is_due():
            self._may_be_free = False
            self._claim(worker, quota.may_claim)
        self._reconcile_connections(worker)
        self._hand_over(quota, leaving)

    def _note_room(self, waiting: int) -> None:
        if waiting > 0:
            self._room.failed(waiting)
        else:
            self._room.over()

    def _reap(self) -> None:
        with self._database.transaction() as transaction:
            reaped = WorkerRepository(transaction).reap()
        for worker, gateways in reaped:
            log_reaped(worker, gateways)

    def _reset(self, worker: WorkerIdentity | None) -> None:
        """Drops everything after the lease was lost, or acquired again."""
        self.abort_all()
        self._context.registry.reset(worker)
        self._desired.forget()
        self._owner = worker

    def _claim(self, worker: WorkerIdentity, limit: int) -> None:
        last = BEFORE_ALL
        while limit > 0:
            batch = min(limit, _CLAIM_BATCH)
            started_at = monotonic()
            with self._database.transaction() as transaction:
                claimed = ConnectionRepository(transaction, worker).claim(batch, last)
            self._desired.mark_stale(one.gateway_id for one in claimed)
            if not claimed:
                return self._claim_limiter.charge(monotonic() - started_at)
            log_claimed(claimed, worker.id)
            if len(claimed) < batch:
                return None
            limit -= len(claimed)
            last = claimed[-1].gateway_id
        return None

    def _count_leaving(self) -> int:
        """How many gateways are being released, but may still be this worker's in the database."""
        stopping = {connection.id for connection in self._running() if connection.is_stopping}
        return len(stopping | self._context.registry.ids_finished())

    def _hand_over(self, quota: Quota, leaving: int) -> None:
        """Closes sessions until the quota is met, a few at a time, idle gateways first."""
        count = quota.hand_over
        if count <= leaving:
            return
        staying = [connection for connection in self._running() if not connection.is_stopping]
        connected = self._context.registry.ids_connected()
        staying.sort(key=lambda connection: connection.id in connected)
        handed_over = staying[: max(0, min(count, _MAX_HAND_OVERS) - leaving)]
        for connection in handed_over:
            connection.stop(NO_CAPACITY if quota.is_overloaded else REBALANCED)
        if handed_over:
            count = len(handed_over)
            log.info("rebalancing: releasing %d gateways to other workers", count, extra={"gateways": count})

    def _reconcile_connections(self, worker: WorkerIdentity) -> None:
        # Read before asking the database: a gateway in neither is newly held, not just released.
        known = self._context.registry.ids()
        self._context.registry.add(one for one in self._desired.read(worker) if one.id not in known)
        wanted = self._desired.versions
        running = {connection.id: connection for connection in self._running()}
        plan = make_plan(
            wanted,
            {
                i: (connection.login.generation, connection.login.connect_requested_at)
                for i, connection in running.items()
            },
            [i for i, connection in running.items() if connection.is_stopping],
        )
        for gateway_id in plan.stop:
            running[gateway_id].stop(REQUESTED)
        gateways = ActiveGatewayRepository(self._database)
        affected = plan.change + plan.start
        for first in range(0, len(affected), _LOGIN_BATCH):
            for login in gateways.find_logins(affected[first : first + _LOGIN_BATCH]):
                self._apply(worker, login, running.get(login.id))
        self._release_unwanted(wanted)

    def _apply(
        self, worker: WorkerIdentity, login: SealedLogin, connection: GatewayConnection | None
    ) -> None:
        if connection is not None:
            connection.assign(login)
        elif self._context.registry.is_waiting(login.id):
            self._start(worker, login)

    def _start(self, worker: WorkerIdentity, login: SealedLogin) -> None:
        """Starts a connection, or releases the gateway if the system has no resources for it."""
        with self._lock:
            running = len(self._connections)
        if running < self._capacity.current():
            try:
                connection = GatewayConnection(login, self._context, lambda: self._lease.holds(worker))
                with self._lock:
                    connection.start()
                    self._connections[login.id] = connection
            except (OSError, NoThreadError) as error:
                self._capacity.reduce(running, describe(error))
            else:
                return
        self._context.registry.finish(login.id, NO_CAPACITY)

    def _release_unwanted(self, wanted: Iterable[UUID]) -> None:
        """Releases gateways that stopped being wanted before they had a connection."""
        registry = self._context.registry
        with self._lock:
            held = set(self._connections)
        for gateway_id in registry.ids().difference(wanted, held, registry.ids_finished()):
            registry.finish(gateway_id, REQUESTED)

    def _running(self) -> list[GatewayConnection]:
        with self._lock:
            return list(self._connections.values())


def _join_all(connections: list[GatewayConnection], timeout_s: float) -> bool:
    deadline = monotonic() + timeout_s
    return all(connection.join(max(0.0, deadline - monotonic())) for connection in connections)
