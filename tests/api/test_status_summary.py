"""The summary of all states."""

from contextlib import ExitStack
from datetime import datetime

import psycopg
import pytest

from tests.support.api.reports import observe, worker
from tests.support.api_server import ApiServer

STATES = {
    "disconnected", "connecting", "authenticating", "connected", "retrying", "auth_failed", "disconnecting",
    "unknown",
}  # fmt: skip


@pytest.mark.req("STATUS-01")
def test_the_summary_equals_the_statuses(api: ApiServer, database: psycopg.Connection) -> None:
    mill, plant = api.factory(name="Mill"), api.factory(name="Plant")
    empty, gone = api.factory(name="Empty"), api.factory(name="Gone")
    api.gateway(gone["id"], "CTC-gone")
    api.call("DELETE", f"/api/factories/{gone['id']}")
    with ExitStack() as sessions:
        live, lost = worker(api, sessions, "60 s"), worker(api, sessions, "-1 s")
        for number, (holder, state) in enumerate(
            [
                (live, "connected"),
                (live, "connected"),
                (live, "auth_failed"),
                (lost, "connected"),
                (None, "disconnected"),
            ]
        ):
            observe(database, api.gateway(mill["id"], f"CTC-{number}"), holder, state)
        api.gateway(plant["id"], "CTC-never")
        reply = api.call("GET", "/api/status/summary")
    assert reply.status == 200
    summary = reply.json
    assert set(summary) == {"total", "states", "data", "pagination", "as_of"}
    assert set(summary["states"]) == STATES
    nothing = dict.fromkeys(STATES, 0)
    in_mill = {**nothing, "connected": 2, "auth_failed": 1, "unknown": 1, "disconnected": 1}
    assert (summary["total"], summary["states"]) == (6, {**in_mill, "disconnected": 2})
    assert summary["data"] == [
        {"id": empty["id"], "name": "Empty", "total": 0, "states": nothing},
        {"id": mill["id"], "name": "Mill", "total": 5, "states": in_mill},
        {"id": plant["id"], "name": "Plant", "total": 1, "states": {**nothing, "disconnected": 1}},
    ]
    assert summary["pagination"]["total"] == 3
    assert datetime.fromisoformat(summary["as_of"]).utcoffset() is not None


def test_factories_are_paged_and_each_page_has_the_total(api: ApiServer) -> None:
    for number in range(3):
        api.gateway(api.factory(name=f"F{number}")["id"], f"CTC-{number}")
    page = api.call("GET", "/api/status/summary?limit=2").json
    assert ([one["name"] for one in page["data"]], page["total"]) == (["F0", "F1"], 3)
    rest = api.call("GET", f"/api/status/summary?limit=2&cursor={page['pagination']['next_cursor']}").json
    assert ([one["name"] for one in rest["data"]], rest["total"], rest["states"]["disconnected"]) == (
        ["F2"],
        3,
        3,
    )
    assert api.call("GET", "/api/status/summary?offset=2").json["data"] == rest["data"]


def test_an_empty_database_has_an_empty_summary(api: ApiServer) -> None:
    summary = api.call("GET", "/api/status/summary").json
    assert (summary["total"], summary["data"], set(summary["states"].values())) == (0, [], {0})


@pytest.mark.req("API-05")
@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("offset=x", "offset"), ("cursor=x", "cursor"), ("state=connected", "state")],
)
def test_an_invalid_query_is_rejected(api: ApiServer, query: str, field: str) -> None:
    reply = api.call("GET", f"/api/status/summary?{query}")
    assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [field])
