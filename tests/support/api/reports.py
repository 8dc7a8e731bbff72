"""Workers and their reports, written by SQL."""

from contextlib import ExitStack
from typing import Any

import psycopg

from tests.support.api_server import ApiServer


def worker(api: ApiServer, sessions: ExitStack, lease: str) -> tuple[str, int]:
    """Register a worker with an open session whose lease ends then."""
    session = sessions.enter_context(psycopg.connect(api.database_url, autocommit=True))
    row = session.execute(
        """
        INSERT INTO workers (
            host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
        )
        SELECT 'h', 1, '1', pid, backend_start, interval '9 s', now() + %s::interval
        FROM pg_stat_get_activity(pg_backend_pid())
        RETURNING id::text, epoch
        """,
        [lease],
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def observe(
    database: psycopg.Connection, gateway: dict[str, Any], holder: tuple[str, int] | None, state: str
) -> None:
    """Report this state of a gateway as a worker."""
    database.execute(
        """
        INSERT INTO gateway_connections (
            gateway_id, worker_id, epoch, state, connected_since, next_attempt_at
        ) VALUES (
            %(id)s, %(worker)s, %(epoch)s, %(state)s, CASE WHEN %(state)s = 'connected' THEN now() END,
            CASE WHEN %(state)s IN ('retrying', 'auth_failed') THEN now() END
        )
        """,
        {
            "id": gateway["id"],
            "worker": holder and holder[0],
            "epoch": holder and holder[1],
            "state": state,
        },
    )
