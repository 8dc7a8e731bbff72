"""Bulk changes of the desired state: by factory, by state, or all."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from service.database.desired.bulk_updates import BATCH_ROWS
from tests.support.api.reports import observe, worker
from tests.support.api_server import ApiServer, Reply

NOBODY = "00000000-0000-7000-8000-00000000dead"


def wish(api: ApiServer, word: str, **which: object) -> Reply:
    """Request a bulk change."""
    return api.call("POST", f"/api/gateways/{word}", which)


def counts(reply: Reply) -> tuple[int, int]:
    """Return how many were found, and changed."""
    assert reply.status == 202, reply.body
    assert set(reply.json) == {"matched", "changed"}
    return reply.json["matched"], reply.json["changed"]


def desired(api: ApiServer) -> dict[str, str]:
    """Return each gateway's desired state."""
    data = api.call("GET", "/api/gateways?limit=100").json["data"]
    return {gateway["gateway_id"]: gateway["desired_state"] for gateway in data}


def requested(database: psycopg.Connection) -> dict[str, Any]:
    """Return each gateway's last connect request, generation and version."""
    found = database.execute("SELECT device_id, connect_requested_at, generation, version FROM gateways")
    return {row[0]: row[1:] for row in found}


def test_a_factory_is_disconnected_and_connected(api: ApiServer, database: psycopg.Connection) -> None:
    here, there = api.factory()["id"], api.factory()["id"]
    for number in range(3):
        api.gateway(here, f"HERE-{number}")
    api.gateway(there, "THERE")
    gone = api.gateway(here, "GONE")
    api.call("DELETE", f"/api/gateways/{gone['id']}")
    api.call("POST", f"/api/gateways/{api.gateway(here, 'OFF')['id']}/disconnect")
    before = requested(database)
    with psycopg.connect(api.database_url, autocommit=True) as listener:
        listener.execute("LISTEN gateways_changed")
        assert counts(wish(api, "disconnect", factory_id=here)) == (4, 3)
        next(listener.notifies(timeout=5, stop_after=1))
        # That notification may be of earlier writes.
        assert len(list(listener.notifies(timeout=0.5, stop_after=2))) < 2, "workers are woken once"
    after = requested(database)
    assert desired(api) == {
        "HERE-0": "disconnected", "HERE-1": "disconnected", "HERE-2": "disconnected",
        "OFF": "disconnected", "THERE": "connected",
    }  # fmt: skip
    assert {name for name in before if before[name] != after[name]} == {"HERE-0", "HERE-1", "HERE-2"}
    assert counts(wish(api, "connect", factory_id=here)) == (4, 4)
    assert set(desired(api).values()) == {"connected"}
    again = requested(database)
    assert counts(wish(api, "connect", factory_id=here)) == (4, 0)
    once_more = requested(database)
    assert {name for name in again if once_more[name][0] > again[name][0]} == {
        "HERE-0", "HERE-1", "HERE-2", "OFF",
    }, "each requests an attempt now"  # fmt: skip
    wishes = database.execute(
        "SELECT count(*) FROM desired_state_changes AS w JOIN gateways AS g ON w.gateway_id = g.id"
        " WHERE g.device_id = 'HERE-0'"
    ).fetchone()
    assert wishes == (3,), "wanted, not wanted, wanted: availability knows"


def test_gateways_in_a_state_can_be_changed(api: ApiServer, database: psycopg.Connection) -> None:
    here, there = api.factory()["id"], api.factory()["id"]
    with ExitStack() as sessions:
        live, lost = worker(api, sessions, "60 s"), worker(api, sessions, "60 s")
        for number, (factory_id, holder, state) in enumerate(
            (
                (here, live, "auth_failed"), (there, live, "auth_failed"), (here, live, "connected"),
                (here, lost, "auth_failed"), (here, None, "disconnected"),
            )
        ):  # fmt: skip
            observe(database, api.gateway(factory_id, f"CTC-{number}"), holder, state)
        database.execute("UPDATE workers SET lease_expires_at = now() WHERE id = %s", [lost[0]])
        assert counts(wish(api, "disconnect", factory_id=here, state="auth_failed")) == (1, 1)
        assert desired(api)["CTC-0"] == "disconnected"
        assert counts(wish(api, "disconnect", state="auth_failed")) == (2, 1)
        assert counts(wish(api, "connect", state="unknown")) == (1, 0)
        assert counts(wish(api, "disconnect", state="disconnected")) == (1, 1)
        assert counts(wish(api, "disconnect", state="retrying")) == (0, 0)
        assert counts(wish(api, "disconnect", state=["retrying", "disconnected"])) == (1, 0)
        assert counts(wish(api, "disconnect", state="auth_failed,disconnected")) == (3, 0)
        assert counts(wish(api, "connect", state=["unknown", "connected"], factory_id=there)) == (0, 0)
        assert [name for name, state in desired(api).items() if state == "connected"] == ["CTC-2", "CTC-3"]
        assert counts(wish(api, "connect", all=True)) == (5, 3)
        assert counts(wish(api, "disconnect", all=True)) == (5, 5)


@pytest.mark.req("STATUS-02", "STATUS-03", "API-05")
@pytest.mark.parametrize("word", ["connect", "disconnect"])
def test_a_bulk_change_requires_a_selection(api: ApiServer, word: str) -> None:
    factory_id = api.factory()["id"]
    api.gateway(factory_id)
    before = api.call("GET", "/api/gateways").body
    for body, field in (
        ({}, "body"), ({"all": True, "state": "connected"}, "body"), ({"all": False}, "all"),
        ({"all": "true"}, "all"), ({"all": None}, "all"), ({"factory_id": 5}, "factory_id"),
        ({"factory_id": None}, "factory_id"), ({"factory_id": NOBODY}, "factory_id"),
        ({"state": "up"}, "state"), ({"state": None}, "state"), ({"q": "x"}, "q"),
        ({"state": []}, "state"), ({"state": ["up"]}, "state"), ({"state": [["connected"]]}, "state"),
        ({"state": "connected,"}, "state"), ({"state": {"connected": 1}}, "state"), ({"state": 5}, "state"),
        ({"gateway_ids": []}, "gateway_ids"), ([], "body"),
    ):  # fmt: skip
        reply = api.call("POST", f"/api/gateways/{word}", body)
        assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [field]), body
    assert api.call("POST", f"/api/gateways/{word}").status == 415
    assert api.call("POST", f"/api/gateways/{word}?all=true", {"all": True}).fields == ["all"]
    assert api.call("GET", f"/api/gateways/{word}").status == 405
    api.call("DELETE", f"/api/factories/{api.factory(name='Gone')['id']}")
    assert api.call("GET", "/api/gateways").body == before


@pytest.mark.req("API-05")
def test_a_change_of_several_batches_is_one_transaction(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api()
    number = 2 * BATCH_ROWS + 1
    gateway = api.gateway(api.factory()["id"], "CTC-0")
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)"
            " SELECT factory_id, 'CTC-' || n, name, url, email, sealed_password"
            " FROM gateways CROSS JOIN generate_series(1, %s) AS n",
            [number - 1],
        )
        assert counts(wish(api, "disconnect", factory_id=gateway["factory_id"])) == (number, number)
        assert counts(wish(api, "connect", all=True)) == (number, number)
        times = database.execute("SELECT count(DISTINCT xmin::text) FROM gateways").fetchone()
    assert times == (1,), "in one transaction"
