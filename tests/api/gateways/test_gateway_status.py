"""The status and the desired state over HTTP."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from service.gateway_states import ACTIONS, ReasonCode
from tests.support.api_server import ApiServer

FIELDS = {
    "id", "desired_state", "state", "state_since", "reason", "attempt", "next_attempt_at", "connected_since",
    "last_connected_at", "last_disconnected_at", "last_seen_at", "last_message_at", "generation",
    "observed_generation", "worker", "as_of",
}  # fmt: skip


def hold(database: psycopg.Connection, gateway_id: str, session_pid: int, lease: str = "8 s") -> str:
    """Register a worker on this session that reports the gateway connected; return its id."""
    row = database.execute(
        """
        WITH worker AS (
            INSERT INTO workers (
                host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
            )
            SELECT 'mill', 1, '1', pid, backend_start, interval '8 s', now() + %(lease)s::interval
            FROM pg_stat_get_activity(%(session_pid)s)
            RETURNING id, epoch
        )
        INSERT INTO gateway_connections (gateway_id, worker_id, epoch, state, connected_since)
        SELECT %(gateway_id)s, id, epoch, 'connected', now() FROM worker
        RETURNING worker_id
        """,
        {"gateway_id": gateway_id, "session_pid": session_pid, "lease": lease},
    ).fetchone()
    assert row is not None
    return str(row[0])


def status_of(api: ApiServer, gateway: dict[str, Any]) -> dict[str, Any]:
    """Return the status; assert that it is found."""
    reply = api.call("GET", f"/api/gateways/{gateway['id']}/status")
    assert reply.status == 200
    status: dict[str, Any] = reply.json
    return status


@pytest.mark.req("STATUS-01")
def test_a_gateway_without_a_worker_is_disconnected_with_a_reason(api: ApiServer) -> None:
    gateway = api.gateway(api.factory()["id"])
    status = status_of(api, gateway)
    assert set(status) == FIELDS
    assert (status["id"], status["state"], status["desired_state"]) == (
        gateway["id"],
        "disconnected",
        "connected",
    )
    assert set(status["reason"]) == {"code", "message", "phase", "retryable", "at", "action"}
    assert status["reason"]["action"] == ACTIONS[ReasonCode.NO_WORKER]
    assert (status["reason"]["code"], status["worker"], status["attempt"]) == ("no_worker", None, 0)
    assert status["as_of"].endswith("Z")


@pytest.mark.req("STATUS-01")
def test_a_status_is_valid_only_while_its_worker_is_live(
    api: ApiServer, database: psycopg.Connection
) -> None:
    gateway = api.gateway(api.factory()["id"])
    worker_id = hold(database, gateway["id"], database.info.backend_pid)
    status = status_of(api, gateway)
    assert (status["state"], status["reason"]) == ("connected", None)
    assert set(status["worker"]) == {"id", "host", "lease_expires_at"}
    assert (status["worker"]["id"], status["worker"]["host"]) == (worker_id, "mill")
    lease_left = datetime.fromisoformat(status["worker"]["lease_expires_at"]) - datetime.fromisoformat(
        status["as_of"]
    )
    assert timedelta() < lease_left < timedelta(seconds=8)
    database.execute("UPDATE workers SET lease_expires_at = now()")
    lost = status_of(api, gateway)
    assert (lost["state"], lost["reason"]["code"], lost["connected_since"]) == (
        "unknown",
        "worker_lost",
        None,
    )
    database.execute("UPDATE workers SET lease_expires_at = now() + interval '8 s', session_pid = 1")
    assert status_of(api, gateway)["state"] == "unknown", "its session has ended"


@pytest.mark.req("STATUS-02", "STATUS-03")
def test_connect_and_disconnect_are_durable_and_idempotent(
    api: ApiServer, database: psycopg.Connection
) -> None:
    gateway = api.gateway(api.factory()["id"])
    path = f"/api/gateways/{gateway['id']}"
    bodies: tuple[dict[str, str] | None, ...] = (None, {})
    for body in bodies:
        reply = api.call("POST", f"{path}/disconnect", body)
        assert (reply.status, set(reply.json)) == (202, FIELDS)
        assert (reply.json["desired_state"], reply.json["generation"]) == ("disconnected", 2)
        assert reply.json["reason"] is None
    assert status_of(api, gateway)["desired_state"] == "disconnected"
    requested = []
    for _ in range(2):
        reply = api.call("POST", f"{path}/connect")
        assert (reply.status, reply.json["desired_state"], reply.json["generation"]) == (202, "connected", 3)
        row = database.execute("SELECT connect_requested_at FROM gateways").fetchone()
        assert row is not None
        requested.append(row[0])
    assert requested[0] < requested[1], "each requests an attempt now, which ends a quarantine"


@pytest.mark.req("STATUS-02")
def test_a_request_to_connect_notifies_workers(api: ApiServer) -> None:
    gateway = api.gateway(api.factory()["id"])
    with psycopg.connect(api.database_url, autocommit=True) as listener:
        listener.execute("LISTEN gateways_changed")
        assert api.call("POST", f"/api/gateways/{gateway['id']}/connect").status == 202
        notice = next(listener.notifies(timeout=5, stop_after=1))
    assert notice.payload == "", "the notification has no payload"


@pytest.mark.req("STATUS-02", "STATUS-03", "API-05")
def test_connect_accepts_no_body_or_query(api: ApiServer) -> None:
    gateway = api.gateway(api.factory()["id"])
    for action in ("connect", "disconnect"):
        path = f"/api/gateways/{gateway['id']}/{action}"
        assert api.call("POST", path, {"now": True}).fields == ["now"]
        assert api.call("POST", path, body=b"{}").status == 415
        assert api.call("POST", f"/api/gateways/5/{action}").fields == ["id"]
