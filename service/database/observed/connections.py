"""Connections as they are: claimed, reported and freed by workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.database.engine.query import Command, Executor, GatewayId, Query
from service.database.observed.reports import (
    ConnectionReport,
    ContactReport,
    TransitionReport,
    recordset,
)
from service.database.observed.workers import WorkerIdentity
from service.gateway_states import QUEUED, State


@dataclass(frozen=True, slots=True)
class ClaimedGateway:
    """A gateway that a worker has just claimed, and the worker that held it last, if one did."""

    gateway_id: UUID
    device_id: str
    name: str
    reason_code: str | None
    """Why it was free."""
    last_worker_id: UUID | None
    last_host: str | None
    last_pid: int | None


# The worker's own row is locked against its end, so that an ended worker never holds anything. Whether a
# gateway is free is looked up row by row, in an order that the next claim goes on with. A join would be
# planned by statistics, which are wrong just when it matters (a fleet that was imported a moment ago).
#
# Who held it last is in the history, if it was more than claimed: what freed it is its newest transition.
CLAIM = Query(
    """
    WITH me AS (
        SELECT id, epoch
        FROM workers
        WHERE id = %(worker_id)s AND epoch = %(epoch)s AND ended_at IS NULL AND NOT database_is_held()
        FOR SHARE
    ),
    free AS (
        SELECT g.id
        FROM gateways AS g
        WHERE g.id > %(after_id)s AND g.deleted_at IS NULL AND g.desired_state = 'connected'
            AND CASE
                WHEN (SELECT c.worker_id FROM gateway_connections AS c WHERE c.gateway_id = g.id) IS NULL
                    THEN (SELECT f.deleted_at FROM factories AS f WHERE f.id = g.factory_id) IS NULL
                ELSE FALSE
            END
        ORDER BY g.id
        LIMIT %(limit)s
        FOR NO KEY UPDATE OF g SKIP LOCKED
    ),
    claimed AS (
        INSERT INTO gateway_connections AS held (
            gateway_id, worker_id, epoch, state,
            reason_code, reason_message, reason_phase, reason_retryable, reason_at
        )
        SELECT
            free.id, me.id, me.epoch, 'disconnected',
            %(reason_code)s::text, %(reason_message)s::text, %(reason_phase)s::text,
            %(reason_retryable)s::boolean, clock_timestamp()
        FROM free CROSS JOIN me
        ON CONFLICT (gateway_id) DO UPDATE SET
            worker_id = EXCLUDED.worker_id,
            epoch = EXCLUDED.epoch,
            state = 'disconnected',
            state_since = clock_timestamp(),
            reason_code = EXCLUDED.reason_code,
            reason_message = EXCLUDED.reason_message,
            reason_phase = EXCLUDED.reason_phase,
            reason_retryable = EXCLUDED.reason_retryable,
            reason_at = EXCLUDED.reason_at,
            attempt = 0,
            next_attempt_at = NULL
        WHERE held.worker_id IS NULL
        RETURNING held.gateway_id, old.reason_code AS reason_code, old.state_since AS free_since
    )
    SELECT
        c.gateway_id,
        (SELECT g.device_id FROM gateways AS g WHERE g.id = c.gateway_id) AS device_id,
        (SELECT g.name FROM gateways AS g WHERE g.id = c.gateway_id) AS name,
        c.reason_code,
        last.worker_id AS last_worker_id,
        (SELECT w.host FROM workers AS w WHERE w.id = last.worker_id) AS last_host,
        (SELECT w.pid FROM workers AS w WHERE w.id = last.worker_id) AS last_pid
    FROM claimed AS c
    LEFT JOIN LATERAL (
        SELECT newest.worker_id
        FROM (
            SELECT e.worker_id, e.at FROM gateway_events AS e
            WHERE e.gateway_id = c.gateway_id AND c.free_since IS NOT NULL
            ORDER BY e.id DESC LIMIT 1
        ) AS newest
        WHERE newest.at >= c.free_since
    ) AS last ON TRUE
    ORDER BY c.gateway_id
    """,
    ClaimedGateway,
)

# Times come as ages and become times on this server's clock. A report counts only from whoever holds the
# gateway; a released one is free from then on.
#
# Thousands connect before a new database has statistics, so the plan has to be right without them. It is made
# each time: one from when the table was empty would read all of it for each gateway. And the holder is asked
# for in a CASE of both sides: a plan that begins with the rows of this worker, which it takes for one,
# compares each of ten thousand with each report.
REPORT = Query(
    """
    UPDATE gateway_connections AS c SET
        worker_id = CASE WHEN r.is_over THEN NULL ELSE c.worker_id END,
        epoch = CASE WHEN r.is_over THEN NULL ELSE c.epoch END,
        state = r.state,
        state_since = clock_timestamp() - make_interval(secs => r.state_age_s),
        reason_code = r.reason_code,
        reason_message = r.reason_message,
        reason_phase = r.reason_phase,
        reason_retryable = r.reason_retryable,
        reason_at = clock_timestamp() - make_interval(secs => r.reason_age_s),
        attempt = r.attempt,
        next_attempt_at = clock_timestamp() + make_interval(secs => r.next_attempt_in_s),
        observed_generation = r.generation,
        connected_since = clock_timestamp() - make_interval(secs => r.connected_age_s),
        last_connected_at = coalesce(
            clock_timestamp() - make_interval(secs => r.last_connected_age_s), c.last_connected_at
        ),
        last_disconnected_at = coalesce(
            clock_timestamp() - make_interval(secs => r.last_disconnected_age_s), c.last_disconnected_at
        ),
        last_seen_at = coalesce(clock_timestamp() - make_interval(secs => r.last_seen_age_s), c.last_seen_at),
        last_message_at = coalesce(
            clock_timestamp() - make_interval(secs => r.last_message_age_s), c.last_message_at
        ),
        connects = r.connects,
        messages_received = r.messages_received,
        rejected_logins = r.rejected_logins,
        last_rejected_at = coalesce(
            clock_timestamp() - make_interval(secs => r.last_rejected_age_s), c.last_rejected_at
        )
    FROM jsonb_to_recordset(%(reports)s) AS r (
        gateway_id uuid, is_over boolean, state text, state_age_s float8,
        reason_code text, reason_message text, reason_phase text, reason_retryable boolean,
        reason_age_s float8, attempt integer, next_attempt_in_s float8, generation bigint,
        connected_age_s float8, last_connected_age_s float8, last_disconnected_age_s float8,
        last_seen_age_s float8, last_message_age_s float8, connects bigint, messages_received bigint,
        rejected_logins bigint, last_rejected_age_s float8
    )
    WHERE c.gateway_id = r.gateway_id
        AND CASE c.gateway_id WHEN r.gateway_id
            THEN c.worker_id = %(worker_id)s AND c.epoch = %(epoch)s
        END
    RETURNING c.gateway_id
    """,
    GatewayId,
    custom_plan=True,
)

FIRST_ATTEMPT = [State.DISCONNECTED, State.CONNECTING, State.AUTHENTICATING]

# Another worker holds it, and its first attempt is over, however it ended.
FIND_TAKEN_UP = Query(
    """
    SELECT s.id AS gateway_id
    FROM gateway_statuses AS s
    WHERE s.id = ANY(%(ids)s)
        AND s.worker_id <> %(worker_id)s
        AND s.state <> ALL(%(first_attempt)s)
    """,
    GatewayId,
    retryable=True,
)

# What changes while a connection stays as it is.
TOUCH = Command(
    """
    UPDATE gateway_connections AS c SET
        last_seen_at = clock_timestamp() - make_interval(secs => t.last_seen_age_s),
        last_message_at = coalesce(
            clock_timestamp() - make_interval(secs => t.last_message_age_s), c.last_message_at
        ),
        messages_received = t.messages_received
    FROM jsonb_to_recordset(%(touches)s) AS t (
        gateway_id uuid, last_seen_age_s float8, last_message_age_s float8, messages_received bigint
    )
    WHERE c.gateway_id = t.gateway_id
        AND CASE c.gateway_id WHEN t.gateway_id
            THEN c.worker_id = %(worker_id)s AND c.epoch = %(epoch)s
        END
    """,
    custom_plan=True,
)

# The factory would be filled in by a trigger as well, at the price of a function call a row.
RECORD_TRANSITIONS = Command(
    """
    INSERT INTO gateway_events (
        gateway_id, at, from_state, to_state, reason_code, reason_message, reason_phase,
        attempt, generation, worker_id, epoch, factory_id
    )
    SELECT
        t.gateway_id, clock_timestamp() - make_interval(secs => t.age_s), t.from_state, t.to_state,
        t.reason_code, t.reason_message, t.reason_phase, t.attempt, t.generation, w.id, w.epoch,
        (SELECT g.factory_id FROM gateways AS g WHERE g.id = t.gateway_id)
    FROM workers AS w
    CROSS JOIN ROWS FROM (
        jsonb_to_recordset(%(transitions)s) AS (
            gateway_id uuid, age_s float8, from_state text, to_state text, reason_code text,
            reason_message text, reason_phase text, attempt integer, generation bigint
        )
    ) WITH ORDINALITY AS t (
        gateway_id, age_s, from_state, to_state, reason_code,
        reason_message, reason_phase, attempt, generation, position
    )
    WHERE w.id = %(worker_id)s AND w.epoch = %(epoch)s AND w.ended_at IS NULL
    ORDER BY t.position
    """
)

PRUNE_EVENTS = Command(
    """
    DELETE FROM gateway_events
    WHERE id IN (
        SELECT id
        FROM gateway_events
        WHERE at < now() - make_interval(days => %(retention_days)s)
        ORDER BY at
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )
    """
)


BEFORE_ALL = UUID(int=0)
"""No gateway has this id."""


class ConnectionRepository:
    """What one worker writes. Nothing that it writes counts once the database has ended it."""

    def __init__(self, executor: Executor, worker: WorkerIdentity) -> None:
        self._executor = executor
        self._writer = {"worker_id": worker.id, "epoch": worker.epoch}

    def claim(self, limit: int, after: UUID = BEFORE_ALL) -> list[ClaimedGateway]:
        """Takes at most `limit` active gateways that no worker holds, in the order of their ids.

        Looks at one after the other, from the one after `after`, until it has as many or there are no more.
        """
        parameters = {**self._writer, **QUEUED.parameters(), "limit": limit, "after_id": after}
        return self._executor.fetch_all(CLAIM, parameters)

    def report(self, reports: Sequence[ConnectionReport]) -> set[UUID]:
        """Writes what is; tells which of these gateways this worker holds (or held, if it was the last)."""
        written = self._executor.fetch_all(REPORT, {**self._writer, "reports": recordset(reports)})
        return {row.gateway_id for row in written}

    def touch(self, touches: Sequence[ContactReport]) -> None:
        """Writes when these connections were last heard of."""
        self._executor.execute(TOUCH, {**self._writer, "touches": recordset(touches)})

    def find_taken_up(self, gateway_ids: Sequence[UUID]) -> list[UUID]:
        """Which of these gateways another worker has tried to connect since it took them over."""
        parameters = {
            "worker_id": self._writer["worker_id"],
            "ids": list(gateway_ids),
            "first_attempt": FIRST_ATTEMPT,
        }
        return [row.gateway_id for row in self._executor.fetch_all(FIND_TAKEN_UP, parameters)]

    def record_transitions(self, transitions: Sequence[TransitionReport]) -> int:
        """Adds to the history; tells how many were added."""
        return self._executor.execute(
            RECORD_TRANSITIONS, {**self._writer, "transitions": recordset(transitions)}
        )

    def prune_events(self, retention_days: int, limit: int) -> int:
        """Removes at most `limit` transitions that are older than that; tells how many."""
        return self._executor.execute(PRUNE_EVENTS, {"retention_days": retention_days, "limit": limit})
