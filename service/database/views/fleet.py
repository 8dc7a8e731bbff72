"""The fleet in a few numbers, for monitoring: however many gateways, factories and workers there are."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.database.desired import gateway_lists
from service.database.engine.query import Executor, Query
from service.database.views.readiness import is_held


@dataclass(frozen=True, slots=True)
class FleetState:
    """How many live gateways are in a state; with each, how many factories are down."""

    state: str
    count: int
    factories_down: int


# One pass over the gateways, as in summaries.COUNT_STATES. A factory is down if gateways of it are wanted
# and none is connected; while one of them is unknown, nobody can say.
COUNT_FLEET = Query(
    """
    WITH counted AS MATERIALIZED (
        SELECT
            g.factory_id,
            CASE
                WHEN c.worker_id = ANY(%(lost_workers)s::uuid[]) THEN 'unknown'
                ELSE coalesce(c.state, 'disconnected')
            END AS state,
            count(*) AS count,
            count(*) FILTER (WHERE g.desired_state = 'connected') AS wanted
        FROM gateways AS g
        LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
        WHERE g.deleted_at IS NULL
        GROUP BY 1, 2
    ),
    down AS MATERIALIZED (
        SELECT FROM counted
        GROUP BY factory_id
        HAVING sum(wanted) > 0 AND bool_and(state NOT IN ('connected', 'unknown'))
    )
    SELECT
        state,
        sum(count)::bigint AS count,
        (SELECT count(*) FROM down) AS factories_down
    FROM counted
    GROUP BY state
    """,
    FleetState,
    retryable=True,
    custom_plan=True,
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is true of all gateways at this moment."""

    live_workers: int
    gateways: Mapping[str, int]
    """By state; a state without gateways is not there."""
    factories_down: int
    is_held: bool
    """No worker may be live."""


def read_fleet(executor: Executor) -> Fleet:
    """Raises DatabaseError."""
    workers = executor.fetch_all(gateway_lists.FIND_WORKERS, {})
    lost = [worker.id for worker in workers if not worker.is_live]
    states = executor.fetch_all(COUNT_FLEET, {"lost_workers": lost})
    return Fleet(
        live_workers=len(workers) - len(lost),
        gateways={each.state: each.count for each in states},
        factories_down=states[0].factories_down if states else 0,
        is_held=is_held(executor),
    )
