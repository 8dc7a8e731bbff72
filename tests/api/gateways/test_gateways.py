"""Gateways over HTTP."""

import psycopg
import pytest

from tests.support.api_server import ApiServer, gateway_body

NOBODY = "00000000-0000-7000-8000-00000000dead"
FIELDS = {
    "id", "factory_id", "gateway_id", "name", "model", "firmware_version", "url", "email", "desired_state",
    "generation", "metadata", "last_seen_at", "created_at", "updated_at", "deleted_at",
}  # fmt: skip


@pytest.mark.req("GATEWAY-01", "GATEWAY-03", "GATEWAY-09")
def test_a_created_gateway_is_found_at_its_location(api: ApiServer) -> None:
    factory = api.factory()
    body = gateway_body(factory["id"], model="CTC-9", firmware_version="1.2", metadata={"hall": 3})
    reply = api.call("POST", "/api/gateways", body)
    assert reply.status == 201
    gateway = reply.json
    assert set(gateway) == FIELDS
    assert {name: gateway[name] for name in body if name != "password"} == {
        name: value for name, value in body.items() if name != "password"
    }
    assert (gateway["desired_state"], gateway["generation"]) == ("connected", 1)
    assert gateway["last_seen_at"] is None
    found = api.call("GET", reply.headers["Location"])
    assert (found.status, found.json) == (200, gateway)


@pytest.mark.req("GATEWAY-03", "GATEWAY-02")
def test_a_gateway_shows_when_it_was_last_seen(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    database.execute(
        "INSERT INTO gateway_connections (gateway_id, last_seen_at) VALUES (%s, '2026-01-02 03:04:05+00')",
        [gateway["id"]],
    )
    path = f"/api/gateways/{gateway['id']}"
    assert api.call("GET", path).json["last_seen_at"] == "2026-01-02T03:04:05Z"
    assert api.call("PATCH", path, {"name": "n"}).json["last_seen_at"] == "2026-01-02T03:04:05Z"
    assert api.call("GET", "/api/gateways").json["data"][0]["last_seen_at"] == "2026-01-02T03:04:05Z"


@pytest.mark.req("GATEWAY-01")
def test_a_device_is_registered_once(api: ApiServer) -> None:
    factory = api.factory()
    first = api.gateway(factory["id"], "CTC-1")
    second = api.gateway(factory["id"], "CTC-2")
    for reply in (
        api.call("POST", "/api/gateways", gateway_body(factory["id"], "CTC-1")),
        api.call("PUT", f"/api/gateways/{second['id']}", {"gateway_id": "CTC-1"}),
    ):
        assert (reply.status, reply.error["code"]) == (409, "GATEWAY_ID_CONFLICT")
        assert reply.fields == ["gateway_id"]
    assert api.call("PUT", f"/api/gateways/{first['id']}", {"gateway_id": "CTC-1"}).status == 200


@pytest.mark.req("GATEWAY-02")
def test_gateways_are_listed_by_page_by_cursor_and_by_factory(api: ApiServer) -> None:
    mine, other = api.factory(name="mine"), api.factory(name="other")
    made = [api.gateway(mine["id"], f"CTC-{n}", name=f"g{n % 2}") for n in range(5)]
    api.gateway(other["id"], "CTC-5", name="g0")
    expected = [row["id"] for row in sorted(made, key=lambda row: (row["name"], row["id"]))]
    page = api.call("GET", f"/api/gateways?factory_id={mine['id']}&limit=2").json
    assert page["pagination"]["total"] == 5
    walked = [row["id"] for row in page["data"]]
    while cursor := page["pagination"]["next_cursor"]:
        page = api.call("GET", f"/api/gateways?factory_id={mine['id']}&limit=2&cursor={cursor}").json
        walked += [row["id"] for row in page["data"]]
    assert walked == expected
    offset = api.call("GET", f"/api/gateways?factory_id={mine['id']}&limit=2&offset=3").json
    assert [row["id"] for row in offset["data"]] == expected[3:]
    everywhere = api.call("GET", "/api/gateways").json
    assert everywhere["pagination"]["total"] == len(everywhere["data"]) == 6
    cursor = api.call("GET", "/api/gateways?limit=5").json["pagination"]["next_cursor"]
    assert len(api.call("GET", f"/api/gateways?cursor={cursor}").json["data"]) == 1


@pytest.mark.req("GATEWAY-02")
def test_the_filter_finds_nothing_in_an_unknown_factory(api: ApiServer) -> None:
    factory = api.factory()
    api.gateway(factory["id"])
    api.call("DELETE", f"/api/factories/{factory['id']}")
    for factory_id in (factory["id"], NOBODY):
        listed = api.call("GET", f"/api/gateways?factory_id={factory_id}").json
        assert (listed["data"], listed["pagination"]["total"]) == ([], 0)
    refused = api.call("GET", "/api/gateways?factory_id=1")
    assert (refused.status, refused.fields) == (400, ["factory_id"])


@pytest.mark.req("GATEWAY-04")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_update_changes_only_the_provided_fields(
    api: ApiServer, database: psycopg.Connection, method: str
) -> None:
    def sealed() -> bytes:
        row = database.execute(
            "SELECT sealed_password FROM gateways WHERE id = %s", [before["id"]]
        ).fetchone()
        assert row is not None
        return bytes(row[0])

    before = api.gateway(api.factory()["id"], model="CTC-9", metadata={"a": 1})
    path, password_before = f"/api/gateways/{before['id']}", sealed()
    renamed = api.call(method, path, {"name": "New", "model": None})
    assert renamed.status == 200
    changes = {"name": "New", "model": None, "updated_at": renamed.json["updated_at"]}
    assert renamed.json == {**before, **changes}, "and the generation: no reconnect is needed"
    assert sealed() == password_before
    assert api.call(method, path, {}).json["generation"] == 1
    assert api.call(method, path, {"password": "correct horse"}).json["generation"] == 2
    assert sealed() != password_before, "sealed again, with a fresh nonce"
    other = api.factory(name="Other")
    moved = api.call(method, path, {"factory_id": other["id"], "url": "wss://[::1]:8443/x?y=1"}).json
    assert (moved["factory_id"], moved["url"], moved["generation"]) == (
        other["id"],
        "wss://[::1]:8443/x?y=1",
        3,
    )


@pytest.mark.req("GATEWAY-04")
def test_an_update_that_fails_changes_nothing(api: ApiServer) -> None:
    before = api.gateway(api.factory()["id"])
    path = f"/api/gateways/{before['id']}"
    reply = api.call("PUT", path, {"name": "New", "password": "new", "factory_id": NOBODY})
    assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", ["factory_id"])
    assert api.call("GET", path).json == before
    missing = api.call("PUT", f"/api/gateways/{NOBODY}", {"factory_id": NOBODY})
    assert (missing.status, missing.error["code"]) == (404, "GATEWAY_NOT_FOUND")


@pytest.mark.req("GATEWAY-05")
def test_a_deleted_gateway_is_not_found_and_its_identifier_is_free(api: ApiServer) -> None:
    factory = api.factory()
    gateway = api.gateway(factory["id"], "CTC-1")
    path = f"/api/gateways/{gateway['id']}"
    assert api.call("DELETE", path).status == 204
    for method, tail, body in (
        ("DELETE", "", None),
        ("GET", "", None),
        ("PUT", "", {"name": "x"}),
        ("GET", "/status", None),
        ("POST", "/connect", None),
        ("POST", "/disconnect", None),
    ):
        again = api.call(method, path + tail, body)
        assert (again.status, again.error["code"]) == (404, "GATEWAY_NOT_FOUND")
    assert api.gateway(factory["id"], "CTC-1")["id"] != gateway["id"]


@pytest.mark.req("GATEWAY-01", "GATEWAY-07", "API-05")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("gateway_id", value) for value in ("", " ", "g" * 101, None, 5, "a\0")],
        *[("name", value) for value in ("", "n" * 201, None)],
        *[("model", value) for value in ("", "m" * 101)],
        *[("firmware_version", value) for value in ("", "f" * 101, 1.0)],
        *[("email", value) for value in ("", "a", "a@", "@b", "a@b@c", "a b@c", "a@b\nc", "a@\0")],
        ("email", "a@" + "b" * 319),
        *[("password", value) for value in ("", "p" * 1025, None, 5, "marker-in-password\0")],
        *[("factory_id", value) for value in ("", "marker-in-factory", None, NOBODY)],
        *[
            ("url", value)
            for value in (
                "", "http://host", "wss//host", "host:5000", "ws:host", "ws://", "ws://:5000", "ws://host:0",
                "ws://host:65536", "ws://host:port", "ws://user:marker@host", "ws://@host",
                "ws://host/#fragment", "ws://host/#", "ws://ho st", "ws://ho\nst", "ws://host\0",
                "ws://host\\@evil", "ws://[::1", "ws://[nothing]", "ws://[fe80::1%25eth0]",
                "ws://a..b", "ws://-a", "ws://host/" + "p" * 1991, None,
            )
        ],
    ],
)  # fmt: skip
def test_an_error_names_the_field_without_its_value(api: ApiServer, field: str, value: object) -> None:
    factory = api.factory()
    body = gateway_body(factory["id"], password="marker-password") | {field: value}
    created = api.call("POST", "/api/gateways", body)
    gateway = api.gateway(factory["id"])
    updated = api.call("PATCH", f"/api/gateways/{gateway['id']}", {field: value, "metadata": {"k": "marker"}})
    for reply in (created, updated):
        assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [field])
        assert b"marker" not in reply.body


@pytest.mark.req("GATEWAY-01")
@pytest.mark.parametrize(
    "url",
    [
        "ws://192.0.2.1:5000",
        "wss://gateway.example.com./ws?site=1",
        "ws://[2001:db8::1]:5000/",
        "ws://localhost",
        "ws://under_score.example",
        "ws://host/" + "p" * 1990,
    ],
)
def test_any_websocket_url_with_a_host_is_accepted(api: ApiServer, url: str) -> None:
    assert api.gateway(api.factory()["id"], url=url)["url"] == url


@pytest.mark.req("CRYPTO-04", "GATEWAY-01")
def test_a_password_may_have_1024_characters_of_any_kind(api: ApiServer) -> None:
    factory = api.factory()
    api.gateway(factory["id"], "CTC-1", password="\U0001f511" * 1024)
    api.gateway(factory["id"], "CTC-2", password=" ")


@pytest.mark.req("API-05", "GATEWAY-07")
def test_every_error_is_reported_and_unknown_fields_are_rejected(api: ApiServer) -> None:
    reply = api.call(
        "POST", "/api/gateways", {"desired_state": "disconnected", "password": "x", "id": NOBODY}
    )
    assert reply.status == 400
    assert set(reply.fields) == {"factory_id", "gateway_id", "name", "url", "email", "desired_state", "id"}
