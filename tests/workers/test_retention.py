"""History is kept for the configured time and removed without blocking other transactions."""

import threading
from contextlib import ExitStack
from uuid import UUID

import psycopg
import pytest

from service.database.observed.connections import ConnectionRepository
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from workers.gateway_manager.retention import Pruner

RETENTION_DAYS = 30


@pytest.fixture
def row_id(testbed: WorkerTestBed) -> UUID:
    """Create a gateway with 2,500 transitions that are too old and 10 that are just recent enough."""
    added = testbed.add("AP-1", "ws://127.0.0.1:9")
    for count, age in ((2500, "31 days"), (10, "29 days")):
        testbed.rows(
            """
            INSERT INTO gateway_events (gateway_id, at, from_state, to_state, attempt)
            SELECT %s, now() - %s::interval, 'connecting', 'retrying', 1 FROM generate_series(1, %s)
            """,
            added,
            age,
            count,
        )
    return added


@pytest.fixture
def worker(testbed: WorkerTestBed) -> WorkerIdentity:
    return WorkerRepository(testbed.database).register("host", 1, "test", 30)


def test_old_history_is_pruned_in_small_batches(
    testbed: WorkerTestBed, row_id: UUID, worker: WorkerIdentity
) -> None:
    repository = ConnectionRepository(testbed.database, worker)
    removed = [repository.prune_events(RETENTION_DAYS, 1000) for _ in range(4)]
    assert removed == [1000, 1000, 500, 0]
    assert len(testbed.events(row_id)) == 10


def test_pruning_and_other_transactions_never_wait_for_each_other(
    testbed: WorkerTestBed, row_id: UUID, worker: WorkerIdentity
) -> None:
    repository = ConnectionRepository(testbed.database, worker)
    with psycopg.connect(testbed.database_url) as reader, testbed.database.transaction() as pruning:
        reader.execute("SET lock_timeout = '1ms'")
        reader.execute(
            "SELECT FROM gateway_events WHERE gateway_id = %s ORDER BY id LIMIT 5 FOR UPDATE", [row_id]
        )
        # Locked rows are left for the next run …
        removed = ConnectionRepository(pruning, worker).prune_events(RETENTION_DAYS, 5000)
        assert removed == 2495
        # … and before it commits, others read and extend the history.
        assert len(reader.execute("SELECT FROM gateway_events").fetchall()) == 2510
        reader.execute(
            "INSERT INTO gateway_events (gateway_id, at, from_state, to_state, attempt)"
            " VALUES (%s, now(), 'retrying', 'connecting', 2)",
            [row_id],
        )
    assert repository.prune_events(RETENTION_DAYS, 5000) == 5
    assert len(testbed.events(row_id)) == 11


def test_the_pruner_runs_periodically(testbed: WorkerTestBed, row_id: UUID, worker: WorkerIdentity) -> None:
    pruner = Pruner(testbed.database, lambda: worker, RETENTION_DAYS, interval_s=0.05)
    with ExitStack() as stack:
        stack.callback(lambda: pruner.stop(timeout_s=5))
        pruner.start()
        wait_until(lambda: len(testbed.events(row_id)) == 10)
    assert "pruner" not in [thread.name for thread in threading.enumerate()]
