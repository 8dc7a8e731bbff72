"""A write without a change has no effect: the same ETag, the same updated_at, no notification."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.support.api.notifications import notifications_until_now
from tests.support.api.reports import observe, worker
from tests.support.api_server import ApiServer

# PostgreSQL stores it outside its row (TOAST), so the same value is other bytes in the row.
LARGE = {"notes": [f"{number:x} measures the rolls" for number in range(2000)]}
KEPT = "SELECT to_jsonb(g) - 'modified_xid' - 'connect_requested_at' FROM gateways AS g ORDER BY id"


@pytest.fixture
def sessions() -> Iterator[ExitStack]:
    """Yield a stack of workers' sessions, closed at the end."""
    with ExitStack() as opened:
        yield opened


def read(api: ApiServer, path: str) -> tuple[str, Any]:
    """Return ETag and body."""
    reply = api.call("GET", path)
    return reply.headers["ETag"], reply.json


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("kind", ["factories", "gateways"])
def test_the_same_values_again_change_nothing(api: ApiServer, kind: str, method: str) -> None:
    factory = api.factory(location="Hall 2", metadata=LARGE)
    names = ["name", "location", "timezone", "metadata", "organization_id"]
    path = f"/api/factories/{factory['id']}"
    if kind == "gateways":
        names = ["factory_id", "gateway_id", "name", "url", "email", "model", "metadata"]
        gateway = api.gateway(factory["id"], "CTC-1", model="X", metadata=LARGE)
        path = f"/api/gateways/{gateway['id']}"
    tag, before = read(api, path)
    for body in ({}, {"name": before["name"]}, {name: before[name] for name in names}):
        for headers in ({}, {"If-Match": tag}):
            reply = api.call(method, path, body, headers=headers)
            assert (reply.status, reply.json, reply.headers["ETag"]) == (200, before, tag), list(body)
    assert read(api, path) == (tag, before)
    # jsonb is equal for both, but they are not shown the same.
    for number, changed in ((1, True), (1.0, True), (1.0, False)):
        reply = api.call(method, path, {"metadata": {"line": number}})
        assert (reply.headers["ETag"] != tag, reply.json["updated_at"] != before["updated_at"]) == (
            changed, changed,
        )  # fmt: skip
        tag, before = read(api, path)


@pytest.mark.req("STATUS-02", "STATUS-03")
@pytest.mark.parametrize("is_bulk", [False, True])
def test_a_fulfilled_desired_state_changes_nothing(
    api: ApiServer, database: psycopg.Connection, sessions: ExitStack, is_bulk: bool
) -> None:
    factory_id = api.factory()["id"]
    here, off = api.gateway(factory_id, "CTC-1"), api.gateway(factory_id, "CTC-2")
    api.call("POST", f"/api/gateways/{off['id']}/disconnect")
    observe(database, here, worker(api, sessions, "60 s"), "connected")
    before = database.execute("SELECT to_jsonb(g) FROM gateways AS g ORDER BY id").fetchall()
    for word, gateway in (("connect", here), ("disconnect", off)):
        if is_bulk:
            state = {"connect": "connected", "disconnect": "disconnected"}[word]
            reply = api.call("POST", f"/api/gateways/{word}", {"factory_id": factory_id, "state": state})
            assert (reply.status, reply.json) == (202, {"matched": 1, "changed": 0})
        else:
            assert api.call("POST", f"/api/gateways/{gateway['id']}/{word}").status == 202
    assert database.execute("SELECT to_jsonb(g) FROM gateways AS g ORDER BY id").fetchall() == before


@pytest.mark.req("STATUS-02")
@pytest.mark.parametrize("is_bulk", [False, True])
@pytest.mark.parametrize("state", ["auth_failed", "retrying", "unknown", "disconnected"])
def test_a_connect_request_triggers_an_attempt_without_a_change(
    api: ApiServer, database: psycopg.Connection, sessions: ExitStack, state: str, is_bulk: bool
) -> None:
    gateway = api.gateway(api.factory()["id"])
    holder = worker(api, sessions, "60 s")
    if state != "disconnected":
        observe(database, gateway, holder, "connected" if state == "unknown" else state)
    if state == "unknown":
        database.execute("UPDATE workers SET lease_expires_at = now()")
    requested = "SELECT connect_requested_at FROM gateways"
    kept, asked = database.execute(KEPT).fetchall(), database.execute(requested).fetchone()
    path = "/api/gateways/connect" if is_bulk else f"/api/gateways/{gateway['id']}/connect"
    assert api.call("POST", path, {"all": True} if is_bulk else {}).status == 202
    assert database.execute(KEPT).fetchall() == kept
    assert database.execute(requested).fetchone() != asked


def test_a_write_without_a_change_notifies_no_worker(
    start_api: Callable[..., ApiServer], database_url: str, sessions: ExitStack
) -> None:
    before = start_api()
    factory = before.factory()
    gateway = before.gateway(factory["id"])
    # Pending notifications are sent before the process ends.
    assert before.stop() == 0
    api = start_api()
    with psycopg.connect(database_url, autocommit=True) as listener:
        observe(listener, gateway, worker(api, sessions, "60 s"), "connected")
        listener.execute("LISTEN gateways_changed")
        for method, path, body in (
            ("PATCH", f"/api/gateways/{gateway['id']}", {}),
            ("PUT", f"/api/factories/{factory['id']}", {"name": factory["name"]}),
            ("POST", f"/api/gateways/{gateway['id']}/connect", None),
            ("POST", "/api/gateways/connect", {"all": True}),
            ("POST", "/api/gateways/disconnect", {"state": "retrying"}),
            ("POST", f"/api/gateways/{gateway['id']}/restore", None),
            ("POST", f"/api/factories/{factory['id']}/restore", None),
        ):
            assert api.call(method, path, body).status in {200, 202}, path
        assert api.stop() == 0
        assert notifications_until_now(listener) == 0
