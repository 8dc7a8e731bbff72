"""Workers: registration, the lease, and the end of a worker, which frees what it held."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.database.engine.notifications import notify_gateways_changed
from service.database.engine.query import Command, Executor, Query
from service.errors import DatabaseHeldError
from service.gateway_states import WORKER_ENDED

UNBOUNDED = 2**31 - 1
"""The capacity of a worker that names none."""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who writes: every report carries both, and counts only while the database knows them as live."""

    id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """How many gateways a live worker holds."""

    worker_id: UUID
    held: int
    is_draining: bool = False
    """It is about to stop, and claims nothing any more."""
    capacity: int = UNBOUNDED
    """How many it can carry at most."""


@dataclass(frozen=True, slots=True)
class ReapedWorker:
    """A worker that was ended because its lease had run out."""

    id: UUID
    host: str
    pid: int
    last_renewed_at: datetime
    lease_expired_at: datetime


@dataclass(frozen=True, slots=True)
class ReleasedGateways:
    """How many gateways an ended worker still held, which are free now."""

    worker_id: UUID
    gateways: int


# The session that runs this is the one whose end tells everybody at once that the worker is gone. The first
# worker of all records which database this is; in a copy of it none registers.
REGISTER = Query(
    """
    WITH first_worker AS (
        INSERT INTO database_identity (identity)
        SELECT current_database_identity()
        ON CONFLICT DO NOTHING
    )
    INSERT INTO workers (
        host, pid, version, gateway_capacity,
        session_pid, session_started_at, lease_duration, lease_expires_at
    )
    SELECT
        %(host)s, %(pid)s, %(version)s, %(capacity)s, session.pid, session.backend_start,
        make_interval(secs => %(lease_s)s), clock_timestamp() + make_interval(secs => %(lease_s)s)
    FROM pg_stat_get_activity(pg_backend_pid()) AS session
    WHERE NOT database_is_held()
    RETURNING id, epoch
    """,
    WorkerIdentity,
)

# A copy may have taken the place of its original, at the same address, with this worker's row in it.
RENEW = Command(
    """
    UPDATE workers SET
        heartbeat_at = clock_timestamp(),
        lease_expires_at = clock_timestamp() + lease_duration,
        session_pid = session.pid,
        session_started_at = session.backend_start,
        gateways_held = %(gateways_held)s,
        gateway_capacity = %(capacity)s,
        is_draining = %(is_draining)s
    FROM pg_stat_get_activity(pg_backend_pid()) AS session
    WHERE workers.id = %(id)s AND workers.epoch = %(epoch)s AND workers.ended_at IS NULL
        AND NOT database_is_held()
    """
)

# A worker is ended once, in one update: whoever renews or claims at the same time waits for this row, and
# then finds it ended. Three things must have been over for the time of a lease: its last renewal, the start
# of the server, and the last statement on its session, which counts even if it failed because nothing can be
# written. workers/gateway_manager/lease/expiry.py is the other side of it.
REAP = Query(
    """
    UPDATE workers SET ended_at = clock_timestamp()
    WHERE ended_at IS NULL
        AND lease_expires_at < clock_timestamp()
        AND pg_postmaster_start_time() + lease_duration < clock_timestamp()
        AND NOT EXISTS (
            SELECT FROM pg_stat_get_activity(session_pid) AS session
            WHERE session.backend_start = session_started_at
                AND session.state_change + lease_duration >= clock_timestamp()
        )
    RETURNING id, host, pid, heartbeat_at AS last_renewed_at, lease_expires_at AS lease_expired_at
    """,
    ReapedWorker,
)

END = Command(
    """
    UPDATE workers SET ended_at = clock_timestamp()
    WHERE id = %(id)s AND epoch = %(epoch)s AND ended_at IS NULL
    """
)

# What an ended worker held is free. Where its state was not known to the end, the history says so: unknown
# since it was last heard of, disconnected from now on.
RELEASE_GATEWAYS_OF_ENDED = Query(
    """
    WITH freed AS (
        UPDATE gateway_connections AS c SET
            worker_id = NULL,
            epoch = NULL,
            state = 'disconnected',
            state_since = clock_timestamp(),
            reason_code = %(reason_code)s,
            reason_message = %(reason_message)s,
            reason_phase = %(reason_phase)s,
            reason_retryable = %(reason_retryable)s,
            reason_at = clock_timestamp(),
            next_attempt_at = NULL,
            connected_since = NULL,
            last_disconnected_at = CASE
                WHEN c.state = 'connected' THEN greatest(w.heartbeat_at, c.state_since)
                ELSE c.last_disconnected_at
            END
        FROM workers AS w
        WHERE c.worker_id = w.id AND w.id = ANY(%(ids)s) AND w.ended_at IS NOT NULL
        RETURNING
            c.gateway_id, old.state AS old_state, w.id AS old_worker_id, old.epoch AS old_epoch,
            greatest(w.heartbeat_at, old.state_since) AS last_known_at, new.state_since AS freed_at,
            c.attempt, c.observed_generation
    ),
    history AS (
        INSERT INTO gateway_events (
            gateway_id, at, from_state, to_state, reason_code, reason_message, reason_phase,
            attempt, generation, worker_id, epoch
        )
        SELECT
            f.gateway_id, step.at, step.from_state, step.to_state,
            %(reason_code)s::text, %(reason_message)s::text, %(reason_phase)s::text,
            f.attempt, f.observed_generation, f.old_worker_id, f.old_epoch
        FROM freed AS f
        CROSS JOIN LATERAL (
            VALUES
                (1, f.last_known_at, f.old_state, 'unknown'),
                (2, f.freed_at, 'unknown', 'disconnected')
        ) AS step (number, at, from_state, to_state)
        WHERE f.old_state <> 'disconnected'
        ORDER BY f.gateway_id, step.number
    )
    SELECT old_worker_id AS worker_id, count(*) AS gateways FROM freed GROUP BY old_worker_id
    """,
    ReleasedGateways,
)

# A worker counts its own exactly, and of the others knows what they said with their last renewal: counting
# everybody's would be a pass over the fleet.
FIND_LOADS = Query(
    """
    SELECT
        w.id AS worker_id,
        CASE
            WHEN w.id = %(id)s
                THEN (SELECT count(*) FROM gateway_connections AS c WHERE c.worker_id = %(id)s)
            ELSE w.gateways_held
        END AS held,
        w.is_draining,
        CASE
            WHEN w.id = %(id)s THEN %(capacity)s
            ELSE coalesce(w.gateway_capacity, %(unbounded)s)
        END AS capacity
    FROM workers AS w
    WHERE worker_is_live(w)
    ORDER BY w.id
    """,
    WorkerLoad,
    retryable=True,
)

PRUNE = Command(
    """
    DELETE FROM workers AS w
    WHERE w.ended_at < now() - interval '7 days'
        AND NOT EXISTS (SELECT FROM gateway_connections AS c WHERE c.worker_id = w.id)
    """
)


class WorkerRepository:
    """Run `register` and `renew` on the session that stands for the worker, the rest in transactions."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def register(
        self, host: str, pid: int, version: str, lease_s: float, capacity: int = UNBOUNDED
    ) -> WorkerIdentity:
        """A new worker, live for `lease_s` seconds from now. Raises DatabaseHeldError."""
        told = {"host": host, "pid": pid, "version": version, "lease_s": lease_s, "capacity": capacity}
        registered = self._executor.fetch_one(REGISTER, told)
        if registered is None:
            raise DatabaseHeldError("it is a copy that was not taken over")
        return registered

    def renew(
        self,
        worker: WorkerIdentity,
        gateways_held: int,
        *,
        capacity: int = UNBOUNDED,
        is_draining: bool = False,
    ) -> bool:
        """Begins the lease anew. False: the worker was ended, its gateways may be held by others; or the
        database is held.
        """
        told = {"gateways_held": gateways_held, "capacity": capacity, "is_draining": is_draining}
        return self._executor.execute(RENEW, {"id": worker.id, "epoch": worker.epoch, **told}) == 1

    def find_loads(self, worker: WorkerIdentity, capacity: int = UNBOUNDED) -> list[WorkerLoad]:
        """All live workers, as this one sees them, whose own capacity is this at the moment."""
        parameters = {"id": worker.id, "capacity": capacity, "unbounded": UNBOUNDED}
        return self._executor.fetch_all(FIND_LOADS, parameters)

    def reap(self) -> list[tuple[ReapedWorker, int]]:
        """Ends every worker whose lease has run out, and frees what it held; returns how much that was."""
        reaped = self._executor.fetch_all(REAP, {})
        released = self._free([worker.id for worker in reaped]) if reaped else {}
        return [(worker, released.get(worker.id, 0)) for worker in reaped]

    def end(self, worker: WorkerIdentity) -> None:
        """Ends this worker, and frees what it still held."""
        self._executor.execute(END, {"id": worker.id, "epoch": worker.epoch})
        self._free([worker.id])

    def notify_released(self) -> None:
        """Tells all workers, with the end of the transaction: what is free is for those whose share it is."""
        notify_gateways_changed(self._executor)

    def prune(self) -> int:
        """Removes workers that ended more than a week ago; tells how many."""
        return self._executor.execute(PRUNE, {})

    def _free(self, ended_ids: list[UUID]) -> dict[UUID, int]:
        parameters = {**WORKER_ENDED.parameters(), "ids": ended_ids}
        released = self._executor.fetch_all(RELEASE_GATEWAYS_OF_ENDED, parameters)
        self.notify_released()
        return {each.worker_id: each.gateways for each in released}
