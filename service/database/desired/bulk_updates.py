"""What many gateways should be: wanted connected, or not, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.database.desired import gateway_lists, gateways
from service.database.desired.gateway_lists import GatewayFilter, IdBatch, WorkerLiveness
from service.database.engine.query import Executor, Query, required
from service.errors import FactoryUnknownError

BATCH_ROWS = 5000


@dataclass(frozen=True, slots=True)
class BulkUpdateResult:
    """How many gateways a wish reached, of how many it changed the desired state, and how many were written:
    also those that are only asked for an attempt.
    """

    matched: int
    changed: int
    written: int


# Each is asked to connect now, as if it had been asked alone; what is connected needs no attempt.
WANT_CONNECTED = Query(
    """
    WITH wished AS (
        UPDATE gateways AS g SET desired_state = 'connected', connect_requested_at = clock_timestamp()
        WHERE g.id = ANY(%(ids)s::text::uuid[]) AND g.deleted_at IS NULL
            AND NOT (
                g.desired_state = 'connected'
                AND EXISTS (
                    SELECT
                    FROM gateway_connections AS c
                    WHERE c.gateway_id = g.id AND c.state = 'connected'
                        AND c.worker_id = ANY(%(live_workers)s::uuid[])
                )
            )
        RETURNING old.desired_state AS desired_before
    )
    SELECT
        (
            SELECT count(*) FROM gateways WHERE id = ANY(%(ids)s::text::uuid[]) AND deleted_at IS NULL
        ) AS matched,
        count(*) FILTER (WHERE desired_before <> 'connected') AS changed,
        count(*) AS written
    FROM wished
    """,
    BulkUpdateResult,
)

# Those that are not wanted already stay as they are: it would change nothing but their version.
WANT_DISCONNECTED = Query(
    """
    WITH wished AS (
        UPDATE gateways SET desired_state = 'disconnected'
        WHERE id = ANY(%(ids)s::text::uuid[]) AND deleted_at IS NULL AND desired_state = 'connected'
        RETURNING id
    )
    SELECT
        (
            SELECT count(*) FROM gateways WHERE id = ANY(%(ids)s::text::uuid[]) AND deleted_at IS NULL
        ) AS matched,
        count(*) AS changed,
        count(*) AS written
    FROM wished
    """,
    BulkUpdateResult,
)


class BulkUpdateRepository:
    """Runs inside a transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def want(self, which: GatewayFilter, *, connected: bool) -> BulkUpdateResult:
        """All that are found at this moment. Raises FactoryUnknownError.

        Found by one statement, changed by as many as it takes for each to end well within its time limit:
        100,000 take some seconds.
        """
        if which.factory_id is not None:
            parameters = {"factory_id": which.factory_id}
            if self._executor.fetch_one(gateways.LOCK_FACTORY, parameters) is None:
                raise FactoryUnknownError
        workers = self._executor.fetch_all(gateway_lists.FIND_WORKERS, {})
        statement = WANT_CONNECTED if connected else WANT_DISCONNECTED
        live_workers = [worker.id for worker in workers if worker.is_live]
        counts = [
            required(self._executor.fetch_one(statement, {"ids": batch.ids, "live_workers": live_workers}))
            for batch in self._find(which, workers)
        ]
        return BulkUpdateResult(
            matched=sum(count.matched for count in counts),
            changed=sum(count.changed for count in counts),
            written=sum(count.written for count in counts),
        )

    def _find(self, which: GatewayFilter, workers: Sequence[WorkerLiveness]) -> Sequence[IdBatch]:
        parameters = {**which.parameters(workers), "batch_rows": BATCH_ROWS}
        return self._executor.fetch_all(gateway_lists.id_batches(which.conditions), parameters)
