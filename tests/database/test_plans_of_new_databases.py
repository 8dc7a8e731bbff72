"""In a newly filled database, writing one connection costs the same beside many others.

There are no statistics yet: autovacuum runs once a minute, and ten thousand gateways connect in less.
"""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from service.database.engine.pool import ConnectionExecutor
from service.database.engine.query import Command, Query
from service.database.observed.connections import REPORT, TOUCH, ConnectionRepository
from service.database.observed.workers import WorkerRepository

GATEWAYS = 10_000
REPORTS = 1000
FILL = """
WITH mill AS (INSERT INTO factories (name) VALUES ('Mill') RETURNING id)
INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)
SELECT mill.id, uuidv7()::text, 'Press', 'ws://127.0.0.1:5000', 'plant@example.com', repeat('x', 60)::bytea
FROM mill CROSS JOIN generate_series(1, %s) AS number
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        opened.execute("ALTER TABLE gateway_connections SET (autovacuum_enabled = off)")
        opened.execute("ALTER TABLE gateways SET (autovacuum_enabled = off)")
        opened.execute("ANALYZE")
        yield opened


@pytest.mark.req("DB-04")
@pytest.mark.parametrize(("statement", "name"), [(REPORT, "reports"), (TOUCH, "touches")])
def test_each_connection_is_compared_with_its_own_report(
    connection: psycopg.Connection, statement: Query[Any] | Command, name: str
) -> None:
    executor = ConnectionExecutor(connection)
    worker = WorkerRepository(executor).register("host", 1, "test", 30)
    connection.execute(FILL, [GATEWAYS])
    ids = [one.gateway_id for one in ConnectionRepository(executor, worker).claim(GATEWAYS)]
    state = {"is_over": False, "state": "connecting", "state_age_s": 0, "attempt": 1, "last_seen_age_s": 0}
    counters = {"connects": 1, "messages_received": 7, "rejected_logins": 0}
    rows = [{"gateway_id": str(one), **state, **counters} for one in ids[:REPORTS]]
    parameters = {"worker_id": worker.id, "epoch": worker.epoch, name: Jsonb(rows)}
    explained = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}".encode(), parameters)
    row = explained.fetchone()
    assert row is not None
    [plan] = json.loads(row[0])
    assert statement.custom_plan
    assert compared_rows(plan["Plan"]) < 10 * (GATEWAYS + REPORTS)


def compared_rows(node: dict[str, Any]) -> float:
    """Return how many rows the plan's nodes read in all loops."""
    looked_at = node["Actual Rows"] + sum(
        value for key, value in node.items() if key.startswith("Rows Removed")
    )
    return float(looked_at * node["Actual Loops"] + sum(map(compared_rows, node.get("Plans", ()))))
