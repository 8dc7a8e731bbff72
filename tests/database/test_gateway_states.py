"""States and reasons are the same in the code, the schema and the API's types."""

import re
from typing import get_args

import psycopg
import pytest

from service.api.schemas.status_summary import StateCounts
from service.gateway_states import (
    ACTIONS,
    ALL_WORKERS_FULL,
    DATABASE_HELD,
    NO_WORKER,
    UNKNOWN,
    UNLISTED_ACTION,
    WORKER_NOT_LIVE,
    DesiredState,
    ReasonCode,
    ReportedState,
    State,
    action_for,
)

STORED = [*State]
REPORTED = [*State, UNKNOWN]


def words_of(connection: psycopg.Connection, constraint: str) -> list[str]:
    """Return the texts that a CHECK constraint allows."""
    row = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [constraint]
    ).fetchone()
    assert row is not None, constraint
    return re.findall(r"'([a-z_]+)'::text", row[0])


@pytest.mark.req("QUAL-02")
def test_the_api_names_every_state() -> None:
    assert list(get_args(ReportedState)) == REPORTED
    assert list(StateCounts.model_fields) == REPORTED
    assert set(get_args(DesiredState)) < set(REPORTED)


@pytest.mark.req("QUAL-02")
@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("gateways_desired_state", list(get_args(DesiredState))),
        ("gateway_connections_state", STORED),
        ("gateway_events_from_state", REPORTED),
        ("gateway_events_to_state", REPORTED),
    ],
)
def test_the_schema_allows_these_states(database_url: str, constraint: str, words: list[str]) -> None:
    with psycopg.connect(database_url) as connection:
        assert sorted(words_of(connection, constraint)) == sorted(words)


@pytest.mark.req("QUAL-02")
def test_the_view_computes_these_reasons(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT pg_get_viewdef('gateway_statuses'::regclass)").fetchone()
    assert row is not None
    texts = set(re.findall(r"'([^']+)'::text", row[0]))
    reasons = [NO_WORKER, ALL_WORKERS_FULL, WORKER_NOT_LIVE, DATABASE_HELD]
    assert {text for text in texts if text.endswith(".")} == {reason.message for reason in reasons}
    assert texts & set(ReasonCode) == {str(reason.code) for reason in reasons}
    assert {str(reason.phase) for reason in reasons} <= texts


@pytest.mark.req("QUAL-02")
def test_every_reason_has_an_action() -> None:
    assert set(ACTIONS) == set(ReasonCode)
    assert all(re.fullmatch(r"[A-Z][^|]+\.", action) for action in ACTIONS.values())
    assert action_for("tls_failed") == ACTIONS[ReasonCode.TLS_FAILED]
    assert action_for("of_a_later_version") == UNLISTED_ACTION
