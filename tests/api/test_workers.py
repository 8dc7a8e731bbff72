"""Workers over HTTP: real registrations, each on its own session."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.database.engine.pool import ConnectionExecutor
from service.database.observed.connections import ConnectionRepository
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from tests.support.api_server import ApiServer
from tests.support.waiting import wait_until

FIELDS = {
    "id", "host", "pid", "version", "is_live", "is_draining", "started_at", "heartbeat_at",
    "lease_expires_at",
    "gateways_held", "gateway_capacity",
}  # fmt: skip
LEASE_S = 60.0


class Workers:
    """Registers workers, each on its own session, as worker processes do."""

    def __init__(self, url: str, sessions: ExitStack) -> None:
        self._url = url
        self._sessions = sessions
        self.connections: dict[UUID, psycopg.Connection] = {}

    def register(self, host: str, lease_s: float = LEASE_S) -> WorkerIdentity:
        """Register a worker that is live while its session is open and its lease is valid."""
        session = self._sessions.enter_context(psycopg.connect(self._url, autocommit=True))
        worker = WorkerRepository(ConnectionExecutor(session)).register(host, 4711, "0.1.0", lease_s)
        self.connections[worker.id] = session
        return worker


@pytest.fixture
def workers(api: ApiServer) -> Iterator[Workers]:
    """Yield the registrations of the module's server."""
    with ExitStack() as sessions:
        yield Workers(api.database_url, sessions)


def listed(api: ApiServer, query: str = "") -> list[dict[str, Any]]:
    """Return the page; assert that it is 200."""
    reply = api.call("GET", f"/api/workers{query}")
    assert reply.status == 200, reply.body
    data: list[dict[str, Any]] = reply.json["data"]
    return data


def test_without_a_worker_the_list_is_empty(api: ApiServer) -> None:
    assert api.call("GET", "/api/workers").json == {
        "data": [],
        "pagination": {
            "total": 0, "limit": 20, "offset": 0, "has_next": False, "has_prev": False, "next_cursor": None,
        },
    }  # fmt: skip


@pytest.mark.req("STATUS-01")
def test_a_worker_shows_its_identity_and_its_gateways(
    api: ApiServer, workers: Workers, database: psycopg.Connection
) -> None:
    factory_id = api.factory()["id"]
    for number in range(3):
        api.gateway(factory_id, f"CTC-{number}")
    one, other = workers.register("mill-1"), workers.register("mill-2")
    claimed = len(ConnectionRepository(ConnectionExecutor(database), one).claim(10))
    first, second = listed(api)
    assert set(first) == FIELDS
    assert (first["id"], first["host"], first["pid"], first["version"]) == (
        str(one.id), "mill-1", 4711, "0.1.0",
    )  # fmt: skip
    assert (first["is_live"], first["gateways_held"]) == (True, claimed)
    assert claimed == 3, "counted from the rows, before any heartbeat"
    assert (second["id"], second["is_live"], second["gateways_held"]) == (str(other.id), True, 0)
    times = {name: datetime.fromisoformat(first[name]) for name in FIELDS if name.endswith("_at")}
    assert times["started_at"] <= times["heartbeat_at"]
    left = times["lease_expires_at"] - times["heartbeat_at"]
    assert timedelta(seconds=LEASE_S - 1) < left < timedelta(seconds=LEASE_S + 1)
    assert first["is_draining"] is False
    mine = WorkerRepository(ConnectionExecutor(workers.connections[one.id]))
    assert mine.renew(one, 3, is_draining=True)
    renewed = listed(api)[0]
    assert datetime.fromisoformat(renewed["heartbeat_at"]) > times["heartbeat_at"]
    assert renewed["is_draining"] is True


@pytest.mark.req("API-02", "STATUS-01")
def test_a_worker_that_is_lost_is_listed_but_not_live_and_readiness_knows(
    api: ApiServer, workers: Workers, database: psycopg.Connection
) -> None:
    frozen, gone = workers.register("frozen"), workers.register("gone")
    assert [worker["is_live"] for worker in listed(api)] == [True, True]
    assert api.call("GET", "/api/health/ready").json["workers"] == 2
    database.execute("UPDATE workers SET lease_expires_at = now() WHERE id = %s", [frozen.id])
    assert {worker["host"]: worker["is_live"] for worker in listed(api)} == {"frozen": False, "gone": True}
    assert api.call("GET", "/api/health/ready").status == 200
    workers.connections[gone.id].close()
    wait_until(lambda: not any(worker["is_live"] for worker in listed(api)), what="the session's end to show")
    not_ready = api.call("GET", "/api/health/ready")
    assert (not_ready.status, not_ready.error["code"]) == (503, "NOT_READY")
    assert not_ready.error["details"] == [
        {"field": "workers", "message": "no worker is live, so no gateway is connected", "type": "none_live"}
    ]


def test_a_worker_that_ended_is_not_listed(
    api: ApiServer, workers: Workers, database: psycopg.Connection
) -> None:
    stays, ends = workers.register("stays"), workers.register("ends")
    WorkerRepository(ConnectionExecutor(database)).end(ends)
    assert [worker["id"] for worker in listed(api)] == [str(stays.id)]


def test_the_list_is_ordered_by_host_and_paged_as_others_are(api: ApiServer, workers: Workers) -> None:
    for host in ("b", "a", "c", "b"):
        workers.register(host)
    everything = listed(api)
    assert [worker["host"] for worker in everything] == ["a", "b", "b", "c"]
    assert listed(api, "?limit=2&offset=1") == everything[1:3]
    page = api.call("GET", "/api/workers?limit=3").json
    assert (page["pagination"]["total"], page["pagination"]["has_next"]) == (4, True)
    assert listed(api, f"?limit=3&cursor={page['pagination']['next_cursor']}") == everything[3:]


@pytest.mark.req("API-05")
@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("offset=-1", "offset"), ("cursor=x", "cursor"), ("host=a", "host")],
)
def test_an_invalid_query_is_rejected(api: ApiServer, query: str, field: str) -> None:
    reply = api.call("GET", f"/api/workers?{query}")
    assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [field])


def test_workers_are_only_read(api: ApiServer) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert api.call(method, "/api/workers").status == 405
