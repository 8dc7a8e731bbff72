"""Pages of gateways: narrowed down, in one of eight orders, read from an index or in one pass at most.

A statement is put together from what is asked for. Those that are asked for all the time are prepared; the
others are planned anew each time, since their best plan depends on what is looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, LiteralString
from uuid import UUID

from service.database.desired import json_rows
from service.database.desired.json_rows import JsonItem
from service.database.engine.paging import Order, PageStart, Start, contains, counted, rows_of_page, where
from service.database.engine.query import Count, Query
from service.gateway_states import UNKNOWN, ReportedState, State

GatewaySort = Literal[
    "name",
    "-name",
    "created_at",
    "-created_at",
    "last_seen_at",
    "-last_seen_at",
    "state_since",
    "-state_since",
]
Condition = Literal[
    "live", "deleted", "factory", "desired_state", "text", "stored_state", "unknown", "unheld"
]
Conditions = tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class WorkerLiveness:
    """A worker that has not ended, and whether its word counts."""

    id: UUID
    is_live: bool


# So few that the best plan for a list by state is made knowing them.
FIND_WORKERS = Query(
    "SELECT id, worker_is_live(workers) AS is_live FROM workers WHERE ended_at IS NULL",
    WorkerLiveness,
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class GatewayFilter:
    """Which gateways: live ones unless `is_deleted`, narrowed down by whatever is not None."""

    factory_id: UUID | None = None
    states: tuple[ReportedState, ...] = ()
    """Any of them; all, if there is none."""
    desired_state: str | None = None
    text: str | None = None
    """Occurs in the name or in the gateway_id, in whatever case."""
    is_deleted: bool = False

    @property
    def conditions(self) -> Conditions:
        """What is asked for."""
        asked: list[Condition] = ["deleted" if self.is_deleted else "live"]
        if self.factory_id is not None:
            asked.append("factory")
        if self.desired_state is not None:
            asked.append("desired_state")
        if self.text is not None:
            asked.append("text")
        if set(self.states) - {UNKNOWN}:
            asked.append("stored_state")
        if UNKNOWN in self.states:
            asked.append("unknown")
        if State.DISCONNECTED in self.states:
            asked.append("unheld")
        return tuple(asked)

    def parameters(self, workers: Sequence[WorkerLiveness] = ()) -> dict[str, object]:
        """For the statements of this module; a state takes the workers that there are."""
        return {
            "factory_id": self.factory_id,
            "desired_state": self.desired_state,
            "pattern": contains(self.text),
            "states": list(self.states),
            "live_workers": [worker.id for worker in workers if worker.is_live],
            "lost_workers": [worker.id for worker in workers if not worker.is_live],
        }


@dataclass(frozen=True, slots=True)
class IdBatch:
    """Ids of gateways, as PostgreSQL writes an array: text that only passes through."""

    ids: str


# The state is the one of the view gateway_statuses, but each worker was looked at once, before. What ends a
# worker frees what it held, so that those that have not ended are all that matter. What a worker wrote is
# found by index; what is computed is not. What no worker holds is disconnected, whatever was stored.
_CONDITIONS: dict[Condition, LiteralString] = {
    "live": "g.deleted_at IS NULL",
    "deleted": "g.deleted_at IS NOT NULL",
    "factory": "g.factory_id = %(factory_id)s::uuid",
    "desired_state": "g.desired_state = %(desired_state)s::text",
    "text": "(g.name ILIKE %(pattern)s::text OR g.device_id ILIKE %(pattern)s::text)",
    "stored_state": "(c.state = ANY(%(states)s::text[]) AND c.worker_id = ANY(%(live_workers)s::uuid[]))",
    "unknown": "c.worker_id = ANY(%(lost_workers)s::uuid[])",
    "unheld": "c.worker_id IS NULL",
}
# Any of these is enough; of the others, all are meant.
_OBSERVED: set[Condition] = {"stored_state", "unknown", "unheld"}
_NIL: LiteralString = "'00000000-0000-0000-0000-000000000000'"
# These are asked for all the time. How many there are is kept in gateway_counts by triggers; of all, under
# the nil UUID, which is no factory's: who asks for its gateways finds none.
_FREQUENT: dict[Conditions, LiteralString] = {
    ("live",): _NIL,
    ("live", "factory"): "nullif(%(factory_id)s::uuid, " + _NIL + ")",
}

# What was never heard of comes first. No index: each of the writes that keep last_seen_at fresh would have to
# change it. This is one pass over two narrow columns; the rows themselves are fetched for the page alone.
_LAST_SEEN: LiteralString = "coalesce(c.last_seen_at, '-infinity')"
# As the view gateway_statuses has it; no index either, since a worker that is lost changes it.
_STATE_SINCE: LiteralString = """
    CASE
        WHEN c.gateway_id IS NULL THEN g.created_at
        WHEN c.worker_id = ANY(%(lost_workers)s::uuid[]) THEN greatest(w.heartbeat_at, c.state_since)
        ELSE c.state_since
    END
"""
_ORDERS: dict[GatewaySort, Order] = {
    "name": Order("g.name", "g.id", "text"),
    "-name": Order("g.name", "g.id", "text", is_down=True),
    "created_at": Order("g.created_at", "g.id", "timestamptz"),
    "-created_at": Order("g.created_at", "g.id", "timestamptz", is_down=True),
    "last_seen_at": Order(_LAST_SEEN, "g.id", "timestamptz"),
    "-last_seen_at": Order(_LAST_SEEN, "g.id", "timestamptz", is_down=True),
    "state_since": Order(_STATE_SINCE, "g.id", "timestamptz"),
    "-state_since": Order(_STATE_SINCE, "g.id", "timestamptz", is_down=True),
}
_BY_LAST_SEEN: set[GatewaySort] = {"last_seen_at", "-last_seen_at"}
_BY_STATE_SINCE: set[GatewaySort] = {"state_since", "-state_since"}
_OF_CONNECTIONS: LiteralString = (
    " FROM gateways AS g LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id"
)


@cache
def json_page(
    sort: GatewaySort, conditions: Conditions, start: Start, *, has_status: bool = False
) -> Query[JsonItem]:
    """A page, as JSON; with the status of each, as of this moment."""
    place: LiteralString = "rfc3339(g.place)" if sort in _BY_STATE_SINCE else "NULL::text"
    body = json_rows.GATEWAY_WITH_STATUS if has_status else json_rows.GATEWAY
    select = "SELECT" + _total(conditions) + " AS total," + place + " AS place," + body
    return Query(
        select + _of_page(sort, conditions, start),
        JsonItem,
        retryable=True,
        custom_plan=_needs_custom_plan(sort, conditions, start),
    )


@cache
def count(conditions: Conditions) -> Query[Count]:
    """How many there are, as far as they are counted."""
    return Query(
        "SELECT" + _total(conditions) + " AS count",
        Count,
        retryable=True,
        custom_plan=conditions not in _FREQUENT,
    )


@cache
def id_batches(conditions: Conditions) -> Query[IdBatch]:
    """All of them, in batches of `batch_rows`, whatever their number: for what is to be done to each.

    One statement finds them, as they are at one moment; an object for each would keep a process busy.
    """
    numbered = "SELECT g.id, (row_number() OVER (ORDER BY g.id) - 1) / %(batch_rows)s::bigint AS batch"
    found = "(" + numbered + _from(conditions) + where(_words(conditions)) + ") AS f"
    return Query(
        "SELECT array_agg(f.id ORDER BY f.id)::text AS ids FROM "  # noqa: S608 - of fragments of ours
        + found
        + " GROUP BY f.batch ORDER BY f.batch",
        IdBatch,
        retryable=True,
        custom_plan=True,
    )


def page_parameters(
    start: PageStart, limit: int, which: GatewayFilter, workers: Sequence[WorkerLiveness] = ()
) -> dict[str, object]:
    """For a page."""
    return {**which.parameters(workers), **start.parameters(), "limit": limit}


def _of_page(sort: GatewaySort, conditions: Conditions, start: Start) -> LiteralString:
    # What is shown of a row is made of the rows of the page alone. Where others have to be passed by, that is
    # done in an index, or over narrow rows.
    order, words = _ORDERS[sort], _words(conditions)
    if sort in _BY_LAST_SEEN | _BY_STATE_SINCE or start == "offset":
        select = "SELECT g.id, " + order.key + " AS place"
        found = rows_of_page(select + _from(conditions, sort), words, order, start)
        found = "SELECT g.*, p.place FROM gateways AS g JOIN (" + found + ") AS p ON p.id = g.id"  # noqa: S608
        order = Order("g.place", "g.id", order.kind, order.is_down)
    else:
        found = rows_of_page("SELECT g.*" + _from(conditions), words, order, start)
    return " FROM (" + found + ") AS g" + order.clause() + " LIMIT %(limit)s"


def total_is_kept(conditions: Conditions) -> bool:
    """Whether the number of rows is known, however many they are."""
    return conditions in _FREQUENT


def _total(conditions: Conditions) -> LiteralString:
    if total_is_kept(conditions):
        kept = " FROM gateway_counts WHERE factory_id = " + _FREQUENT[conditions]
        return "(SELECT coalesce(sum(gateways), 0)::bigint" + kept + ")"
    return counted(_from(conditions), _words(conditions))


def _from(conditions: Conditions, sort: GatewaySort = "name") -> LiteralString:
    if sort in _BY_STATE_SINCE:
        return _OF_CONNECTIONS + " LEFT JOIN workers AS w ON c.worker_id = w.id"
    if sort in _BY_LAST_SEEN or not _OBSERVED.isdisjoint(conditions):
        return _OF_CONNECTIONS
    return " FROM gateways AS g"


def _words(conditions: Conditions) -> tuple[LiteralString, ...]:
    alternatives = [_CONDITIONS[condition] for condition in conditions if condition in _OBSERVED]
    words = tuple(_CONDITIONS[condition] for condition in conditions if condition not in _OBSERVED)
    return (*words, "(" + " OR ".join(alternatives) + ")") if alternatives else words


def needs_workers(sort: GatewaySort, which: GatewayFilter) -> bool:
    """Whether the workers have to be looked at first."""
    return bool(which.states) or sort in _BY_STATE_SINCE


def _needs_custom_plan(sort: GatewaySort, conditions: Conditions, start: Start) -> bool:
    has_index = sort in ("name", "-name") or (
        sort in ("created_at", "-created_at") and conditions == ("live",)
    )
    return conditions not in _FREQUENT or not has_index or start == "offset"
