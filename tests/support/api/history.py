"""Writes a gateway's history."""

from typing import Any

import psycopg


def record(
    database: psycopg.Connection, gateway: dict[str, Any], steps: list[tuple[float, str, str]]
) -> None:
    """Write transitions, given as seconds ago, from and to."""
    # In one transaction, with one timestamp.
    with database.transaction():
        for age_s, before, after in steps:
            database.execute(
                "INSERT INTO gateway_events (gateway_id, at, from_state, to_state, attempt, reason_code,"
                " reason_message, reason_phase)"
                " VALUES (%s, now() - %s * interval '1 s', %s, %s, 1, 'requested', 'Because.', 'session')",
                [gateway["id"], age_s, before, after],
            )


def created_ago(database: psycopg.Connection, gateway: dict[str, Any], age_s: float) -> None:
    """Backdate the gateway, its desired state and the start of the history."""
    database.execute(
        "UPDATE gateways SET created_at = now() - %s * interval '1 s' WHERE id = %s", [age_s, gateway["id"]]
    )
    database.execute(
        "UPDATE desired_state_changes AS w SET at = g.created_at FROM gateways AS g WHERE w.gateway_id = g.id"
    )
    database.execute("UPDATE event_pruning SET events_pruned_until = now() - interval '90 days'")
