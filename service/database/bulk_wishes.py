"""What many gateways should be: wanted connected, or not, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.database import gateway_lists, gateways
from service.database.gateway_lists import GatewayFilter
from service.database.query import Executor, Query, required
from service.errors import FactoryUnknownError

BATCH_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Wished:
    """How many gateways a wish reached, and of how many it changed the desired state."""

    matched: int
    changed: int


# Each is asked to connect now, as if it had been asked alone.
WANT_CONNECTED = Query(
    """
    WITH wished AS (
        UPDATE gateways SET desired_state = 'connected', connect_requested_at = clock_timestamp()
        WHERE id = ANY(%(ids)s::uuid[]) AND deleted_at IS NULL
        RETURNING old.desired_state AS desired_before
    )
    SELECT count(*) AS matched, count(*) FILTER (WHERE desired_before <> 'connected') AS changed FROM wished
    """,
    Wished,
)

# Those that are not wanted already stay as they are: it would change nothing but their version.
WANT_DISCONNECTED = Query(
    """
    WITH wished AS (
        UPDATE gateways SET desired_state = 'disconnected'
        WHERE id = ANY(%(ids)s::uuid[]) AND deleted_at IS NULL AND desired_state = 'connected'
        RETURNING id
    )
    SELECT
        (
            SELECT count(*) FROM gateways WHERE id = ANY(%(ids)s::uuid[]) AND deleted_at IS NULL
        ) AS matched,
        (SELECT count(*) FROM wished) AS changed
    """,
    Wished,
)


class BulkWishRepository:
    """Runs inside a transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def want(self, which: GatewayFilter, *, connected: bool) -> Wished:
        """All that are found at this moment. Raises FactoryUnknownError.

        Found by one statement, changed by as many as it takes for each to end well within its time limit:
        100,000 take some seconds.
        """
        if which.factory_id is not None:
            parameters = {"factory_id": which.factory_id}
            if self._executor.fetch_one(gateways.LOCK_FACTORY, parameters) is None:
                raise FactoryUnknownError
        ids = self._find(which)
        statement = WANT_CONNECTED if connected else WANT_DISCONNECTED
        counts = [
            required(self._executor.fetch_one(statement, {"ids": ids[first : first + BATCH_ROWS]}))
            for first in range(0, len(ids), BATCH_ROWS)
        ]
        return Wished(sum(count.matched for count in counts), sum(count.changed for count in counts))

    def _find(self, which: GatewayFilter) -> Sequence[UUID]:
        workers = [] if which.state is None else self._executor.fetch_all(gateway_lists.FIND_WORKERS, {})
        found = self._executor.fetch_all(gateway_lists.ids(which.conditions), which.parameters(workers))
        return [row.id for row in found]
