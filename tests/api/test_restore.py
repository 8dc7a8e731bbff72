"""Restoring deleted resources."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.support.api_server import ApiServer, Reply

NOBODY = "00000000-0000-7000-8000-00000000dead"


def delete(api: ApiServer, kind: str, row: dict[str, Any]) -> None:
    """Deletes what is there."""
    assert api.call("DELETE", f"/api/{kind}/{row['id']}").status == 204


def restore(api: ApiServer, kind: str, row: dict[str, Any]) -> Reply:
    """Restore a resource."""
    return api.call("POST", f"/api/{kind}/{row['id']}/restore")


def listed(api: ApiServer, path: str) -> list[str]:
    """Return the ids in a list."""
    return [row["id"] for row in api.call("GET", path).json["data"]]


@pytest.mark.req("GATEWAY-05")
def test_a_restored_gateway_is_unchanged(api: ApiServer) -> None:
    gateway = api.gateway(api.factory()["id"], metadata={"a": 1})
    path = f"/api/gateways/{gateway['id']}"
    delete(api, "gateways", gateway)
    (deleted,) = api.call("GET", "/api/gateways?deleted=only").json["data"]
    assert deleted["deleted_at"] is not None
    reply = restore(api, "gateways", gateway)
    assert reply.status == 200
    changed = ("generation", "updated_at")
    assert {**reply.json, **{name: gateway[name] for name in changed}} == gateway
    assert reply.json["generation"] > gateway["generation"], "workers have to connect it again"
    found = api.call("GET", path)
    assert (found.json, found.headers["ETag"]) == (reply.json, reply.headers["ETag"])
    assert (listed(api, "/api/gateways?deleted=only"), listed(api, "/api/gateways")) == ([], [gateway["id"]])


@pytest.mark.req("LIFECYCLE-01")
def test_a_restore_notifies_workers_and_keeps_the_desired_state(api: ApiServer) -> None:
    gateway = api.gateway(api.factory()["id"])
    api.call("POST", f"/api/gateways/{gateway['id']}/disconnect")
    delete(api, "gateways", gateway)
    with psycopg.connect(api.database_url, autocommit=True) as listener:
        listener.execute("LISTEN gateways_changed")
        assert restore(api, "gateways", gateway).json["desired_state"] == "disconnected"
        notice = next(listener.notifies(timeout=5, stop_after=1))
    assert notice.channel == "gateways_changed"


@pytest.mark.req("FACTORY-05", "FACTORY-06")
def test_a_restored_factory_brings_back_exactly_the_gateways_deleted_with_it(api: ApiServer) -> None:
    factory, other = api.factory(name="Goes"), api.factory(name="Stays")
    before, went, also = (api.gateway(factory["id"], f"CTC-{n}") for n in range(3))
    elsewhere = api.gateway(other["id"], "CTC-9")
    delete(api, "gateways", before)
    delete(api, "gateways", elsewhere)
    delete(api, "factories", factory)
    assert listed(api, "/api/factories?deleted=only") == [factory["id"]]
    assert set(listed(api, f"/api/gateways?deleted=only&factory_id={factory['id']}")) == {
        before["id"], went["id"], also["id"],
    }  # fmt: skip
    reply = restore(api, "factories", factory)
    assert (reply.status, reply.json["deleted_at"], reply.json["name"]) == (200, None, "Goes")
    assert reply.headers["ETag"] == api.call("GET", f"/api/factories/{factory['id']}").headers["ETag"]
    assert set(listed(api, "/api/gateways")) == {went["id"], also["id"]}
    assert set(listed(api, "/api/gateways?deleted=only")) == {before["id"], elsewhere["id"]}
    # Again: a gateway deleted separately meanwhile stays deleted.
    delete(api, "gateways", went)
    delete(api, "factories", factory)
    assert restore(api, "factories", factory).status == 200
    assert listed(api, "/api/gateways") == [also["id"]]
    assert restore(api, "gateways", before).status == 200
    assert restore(api, "gateways", went).status == 200


def test_restoring_a_live_resource_changes_nothing(api: ApiServer) -> None:
    factory = api.factory()
    gateway = api.gateway(factory["id"])
    assert restore(api, "gateways", gateway).json == gateway
    assert restore(api, "factories", factory).json == factory
    delete(api, "gateways", gateway)
    assert restore(api, "factories", factory).status == 200
    assert listed(api, "/api/gateways") == []


def test_a_gateway_is_not_restored_into_a_deleted_factory(api: ApiServer) -> None:
    factory = api.factory()
    gateway = api.gateway(factory["id"])
    delete(api, "factories", factory)
    refused = restore(api, "gateways", gateway)
    assert (refused.status, refused.error["code"]) == (409, "FACTORY_DELETED")
    assert api.call("GET", f"/api/gateways/{gateway['id']}").status == 404


@pytest.mark.req("GATEWAY-01")
def test_a_device_registered_again_prevents_the_restore(api: ApiServer) -> None:
    factory, other = api.factory(name="Goes"), api.factory(name="Stays")
    alone = api.gateway(other["id"], "CTC-0")
    with_it = [api.gateway(factory["id"], f"CTC-{n}") for n in (1, 2, 3)]
    delete(api, "gateways", alone)
    delete(api, "factories", factory)
    taken = [api.gateway(other["id"], f"CTC-{n}") for n in (0, 1, 2)]
    refused = restore(api, "gateways", alone)
    assert (refused.status, refused.error["code"]) == (409, "GATEWAY_ID_CONFLICT")
    refused = restore(api, "factories", factory)
    assert (refused.status, refused.error["code"]) == (409, "GATEWAY_ID_CONFLICT")
    assert [detail["message"].split()[0] for detail in refused.error["details"]] == ["CTC-1", "CTC-2"]
    assert refused.fields == ["gateway_id", "gateway_id"]
    assert api.call("GET", f"/api/factories/{factory['id']}").status == 404, "all, or nothing"
    assert api.call("GET", f"/api/gateways/{with_it[2]['id']}").status == 404
    for gateway in taken:
        delete(api, "gateways", gateway)
    assert restore(api, "factories", factory).status == 200
    assert {row["id"] for row in with_it} == set(listed(api, "/api/gateways"))


@pytest.mark.req("FACTORY-08", "API-05", "API-06")
@pytest.mark.parametrize(
    ("kind", "code"), [("factories", "FACTORY_NOT_FOUND"), ("gateways", "GATEWAY_NOT_FOUND")]
)
def test_an_invalid_restore_is_rejected(api: ApiServer, kind: str, code: str) -> None:
    path = f"/api/{kind}/{NOBODY}/restore"
    missing = api.call("POST", path)
    assert (missing.status, missing.error["code"]) == (404, code)
    assert api.call("POST", f"/api/{kind}/5/restore").fields == ["id"]
    assert api.call("POST", path, {"name": "x"}).fields == ["name"]
    assert api.call("POST", path, body=b"{}").status == 415
    assert api.call("POST", f"{path}?force=1").fields == ["force"]
    assert api.call("GET", path).status == 405


@pytest.mark.req("FACTORY-05", "FACTORY-06")
def test_concurrent_deletes_and_restores_leave_no_gateway_in_a_deleted_factory(
    api: ApiServer, database: psycopg.Connection
) -> None:
    factory = api.factory()
    gateways = [api.gateway(factory["id"], f"CTC-{n}") for n in range(3)]

    def act(number: int) -> int:
        kind, row = ("factories", factory) if number % 2 else ("gateways", gateways[number // 2 % 3])
        path = f"/api/{kind}/{row['id']}"
        return (
            api.call("DELETE", path).status if number % 5 < 2 else api.call("POST", f"{path}/restore").status
        )

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(act, range(120))) <= {200, 204, 404, 409}
    orphans = database.execute(
        "SELECT count(*) FROM gateways AS g JOIN factories AS f ON g.factory_id = f.id"
        " WHERE g.deleted_at IS NULL AND f.deleted_at IS NOT NULL"
    ).fetchone()
    assert orphans == (0,)
    assert restore(api, "factories", factory).status == 200
    for gateway in gateways:
        assert restore(api, "gateways", gateway).status == 200
    assert api.call("GET", "/api/gateways").json["pagination"]["total"] == 3
