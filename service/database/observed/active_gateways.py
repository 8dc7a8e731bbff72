"""Active gateways, as workers look for them: what they hold, what changed of it, how to log in.

Active is: not deleted, wanted connected, in a factory that is not deleted.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from service.database.engine.query import Count, Executor, Id, Query, required


@dataclass(frozen=True, slots=True)
class HeldGateway:
    """A gateway that a worker holds: enough to notice a change, and its counters so far."""

    id: UUID
    is_wanted: bool
    generation: int
    connect_requested_at: datetime
    connects: int
    messages_received: int
    rejected_logins: int
    """In a row, of the login as it is now, and since somebody last asked to connect it."""
    last_rejected_age: timedelta | None
    was_held: bool = False
    """A worker has held it as it is configured now."""
    last_seen_age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SealedLogin:
    """What a worker needs to open a session; the password still sealed."""

    id: UUID
    factory_id: UUID
    device_id: str
    name: str
    url: str
    email: str
    sealed_password: bytes = field(repr=False)
    password_is_confined: bool
    """Sent only to addresses within GATEWAY_NETWORKS_ALLOWED."""
    generation: int
    connect_requested_at: datetime


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to where changes have been seen: all that transactions before this one made, on this server."""

    transaction: int
    server_started_at: datetime


@dataclass(frozen=True, slots=True)
class WatermarkPoll(Watermark):
    """The mark of this moment, and whether anything changed since the one before."""

    has_changed: bool


# Also what is not active any more: it may have been claimed a moment before, and has to be given back.
FIND_ACTIVE = Query(
    """
    SELECT
        g.id,
        (g.deleted_at IS NULL AND g.desired_state = 'connected' AND f.deleted_at IS NULL) AS is_wanted,
        g.generation, g.connect_requested_at, c.connects, c.messages_received,
        CASE
            WHEN c.observed_generation = g.generation AND c.last_rejected_at > g.connect_requested_at
                THEN c.rejected_logins
            ELSE 0
        END AS rejected_logins,
        clock_timestamp() - c.last_rejected_at AS last_rejected_age,
        c.observed_generation IS NOT DISTINCT FROM g.generation AS was_held,
        clock_timestamp() - c.last_seen_at AS last_seen_age
    FROM gateway_connections AS c
    JOIN gateways AS g ON c.gateway_id = g.id
    JOIN factories AS f ON g.factory_id = f.id
    WHERE c.worker_id = %(worker_id)s
        AND (%(ids)s::uuid[] IS NULL OR c.gateway_id = ANY(%(ids)s))
    """,
    HeldGateway,
    retryable=True,
    custom_plan=True,
)

# A transaction that still runs is not before the mark: what it changes is found with the next one.
FIND_WATERMARK = Query(
    """
    SELECT
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS transaction,
        pg_postmaster_start_time() AS server_started_at,
        coalesce(
            (SELECT max(modified_xid) FROM gateways) >= %(transaction)s::text::xid8, FALSE
        ) AS has_changed
    """,
    WatermarkPoll,
    retryable=True,
)

FIND_CHANGED = Query(
    """
    SELECT g.id
    FROM gateways AS g
    JOIN gateway_connections AS c ON g.id = c.gateway_id
    WHERE g.modified_xid >= %(transaction)s::text::xid8 AND c.worker_id = %(worker_id)s
    """,
    Id,
    retryable=True,
)

COUNT_WANTED = Query(
    """
    SELECT count(*) AS count
    FROM gateways AS g
    JOIN factories AS f ON g.factory_id = f.id
    WHERE g.deleted_at IS NULL AND g.desired_state = 'connected' AND f.deleted_at IS NULL
    """,
    Count,
    retryable=True,
)

FIND_LOGINS = Query(
    """
    SELECT
        id, factory_id, device_id, name, url, email, sealed_password, password_is_confined, generation,
        connect_requested_at
    FROM gateways
    WHERE id = ANY(%(ids)s) AND deleted_at IS NULL
    """,
    SealedLogin,
    retryable=True,
)

BEFORE_ALL = 0
"""No transaction has this number."""


class ActiveGatewayRepository:
    """What workers read. Runs on the database or inside a transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def find_active(self, worker_id: UUID, among: Collection[UUID] | None = None) -> Sequence[HeldGateway]:
        """All that this worker holds, or as far as it is among these: those that are active it should keep
        connected, the others, which may be deleted, it should give back.
        """
        ids = None if among is None else list(among)
        return self._executor.fetch_all(FIND_ACTIVE, {"worker_id": worker_id, "ids": ids})

    def find_watermark(self, before: Watermark | None) -> WatermarkPoll:
        """The mark of this moment. What changed behind it, and only that, shows with the next one."""
        transaction = BEFORE_ALL if before is None else before.transaction
        return required(self._executor.fetch_one(FIND_WATERMARK, {"transaction": transaction}))

    def find_changed(self, worker_id: UUID, since: Watermark) -> list[UUID]:
        """What this worker holds and somebody changed since then. One may show again the next time."""
        parameters = {"worker_id": worker_id, "transaction": since.transaction}
        return [row.id for row in self._executor.fetch_all(FIND_CHANGED, parameters)]

    def count_wanted(self) -> int:
        """How many gateways should be connected, in all. One pass over them."""
        return required(self._executor.fetch_one(COUNT_WANTED, {})).count

    def find_logins(self, gateway_ids: Sequence[UUID]) -> Sequence[SealedLogin]:
        """How to log in to these, as far as they are live."""
        return self._executor.fetch_all(FIND_LOGINS, {"ids": list(gateway_ids)})
