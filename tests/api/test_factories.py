"""Factories over HTTP."""

from datetime import datetime

import psycopg
import pytest

from tests.support.api_server import ApiServer, gateway_body

DEFAULT_ORGANIZATION = "00000000-0000-7000-8000-000000000001"
NOBODY = "00000000-0000-7000-8000-00000000dead"
FIELDS = {
    "id", "organization_id", "name", "location", "timezone", "metadata", "created_at", "updated_at",
    "deleted_at",
}  # fmt: skip


@pytest.mark.req("FACTORY-01", "FACTORY-03", "FACTORY-09")
def test_a_created_factory_is_found_at_its_location(api: ApiServer) -> None:
    reply = api.call(
        "POST", "/api/factories", {"name": "Mühle", "timezone": "Europe/Paris", "metadata": {"a": 1}}
    )
    assert reply.status == 201
    factory = reply.json
    assert set(factory) == FIELDS
    assert (factory["name"], factory["timezone"], factory["metadata"]) == ("Mühle", "Europe/Paris", {"a": 1})
    assert factory["organization_id"] == DEFAULT_ORGANIZATION
    assert factory["location"] is None
    assert factory["created_at"].endswith("Z")
    assert datetime.fromisoformat(factory["created_at"]) == datetime.fromisoformat(factory["updated_at"])
    found = api.call("GET", reply.headers["Location"])
    assert (found.status, found.json) == (200, factory)


@pytest.mark.req("FACTORY-01")
def test_a_factory_requires_only_a_name(api: ApiServer) -> None:
    factory = api.factory(name="n" * 200)
    assert (factory["timezone"], factory["metadata"]) == ("UTC", {})


@pytest.mark.req("FACTORY-02")
def test_a_list_is_ordered_by_name_then_id_and_paged_by_offset(api: ApiServer) -> None:
    made = [api.factory(name=name) for name in ("b", "a", "b", "c", "a")]
    expected = [row["id"] for row in sorted(made, key=lambda row: (row["name"], row["id"]))]
    first = api.call("GET", "/api/factories?limit=2").json
    assert [row["id"] for row in first["data"]] == expected[:2]
    assert first["pagination"] | {"next_cursor": None} == {
        "total": 5, "limit": 2, "offset": 0, "has_next": True, "has_prev": False, "next_cursor": None,
    }  # fmt: skip
    last = api.call("GET", "/api/factories?limit=2&offset=4").json
    assert [row["id"] for row in last["data"]] == expected[4:]
    assert last["pagination"] == {
        "total": 5, "limit": 2, "offset": 4, "has_next": False, "has_prev": True, "next_cursor": None,
    }  # fmt: skip
    beyond = api.call("GET", "/api/factories?offset=1000000").json
    assert (beyond["data"], beyond["pagination"]["has_next"]) == ([], False)


@pytest.mark.req("FACTORY-02")
def test_a_cursor_walks_the_whole_list_despite_deletions(api: ApiServer) -> None:
    made = [api.factory(name=f"Mill {number % 3} ☃") for number in range(7)]
    expected = [row["id"] for row in sorted(made, key=lambda row: (row["name"], row["id"]))]
    page = api.call("GET", "/api/factories?limit=3").json
    assert api.call("DELETE", f"/api/factories/{expected[2]}").status == 204
    walked = [row["id"] for row in page["data"]]
    while page["pagination"]["next_cursor"] is not None:
        page = api.call("GET", f"/api/factories?limit=3&cursor={page['pagination']['next_cursor']}").json
        assert (page["pagination"]["offset"], page["pagination"]["has_prev"]) == (None, True)
        walked += [row["id"] for row in page["data"]]
    assert walked == expected


@pytest.mark.req("FACTORY-02")
def test_a_page_has_20_rows_unless_asked_otherwise(api: ApiServer, database: psycopg.Connection) -> None:
    database.execute("INSERT INTO factories (name) SELECT 'f' || n FROM generate_series(1, 101) AS n")
    assert len(api.call("GET", "/api/factories").json["data"]) == 20
    assert len(api.call("GET", "/api/factories?limit=100").json["data"]) == 100


@pytest.mark.req("FACTORY-02", "FACTORY-07", "API-05")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=5.0", "limit"),
        ("limit=", "limit"),
        ("limit=%00", "limit"),
        ("limit=5&limit=5", "limit"),
        ("offset=-1", "offset"),
        ("offset=1000001", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("cursor=", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%ED%A0%80", "query"),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAA", "cursor"),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAAA", "cursor"),
        ("factory_id=1", "factory_id"),
        ("sort=", "sort"),
        ("sort=last_seen_at", "sort"),
        ("sort=%2Bname", "sort"),
        ("sort=name,created_at", "sort"),
        ("q=", "q"),
        ("q=%00", "q"),
        ("q=" + "x" * 101, "q"),
        ("deleted=true", "deleted"),
        ("state=connected", "state"),
    ],
)
def test_an_invalid_query_is_rejected(api: ApiServer, query: str, field: str) -> None:
    reply = api.call("GET", f"/api/factories?{query}")
    assert (reply.status, reply.error["code"]) == (400, "VALIDATION_ERROR")
    assert reply.fields == [field]


@pytest.mark.req("FACTORY-04")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_update_changes_only_the_provided_fields(api: ApiServer, method: str) -> None:
    before = api.factory(name="Old", location="Lyon", timezone="Europe/Paris", metadata={"a": 1})
    path = f"/api/factories/{before['id']}"
    named = api.call(method, path, {"name": "New"})
    assert named.status == 200
    assert named.json == {**before, "name": "New", "updated_at": named.json["updated_at"]}
    assert named.json["updated_at"] > before["updated_at"]
    assert api.call(method, path, {"location": None, "metadata": {}}).json["location"] is None
    nothing = api.call(method, path, {})
    assert nothing.status == 200
    assert (nothing.json["name"], nothing.json["metadata"]) == ("New", {})
    assert api.call("GET", path).json == nothing.json


@pytest.mark.req("FACTORY-05", "FACTORY-06")
def test_a_deleted_factory_is_gone_with_its_gateways(api: ApiServer, database: psycopg.Connection) -> None:
    factory, other = api.factory(name="Goes"), api.factory(name="Stays")
    gateway = api.gateway(factory["id"], "CTC-1")
    kept = api.gateway(other["id"], "CTC-2")
    reply = api.call("DELETE", f"/api/factories/{factory['id']}")
    assert (reply.status, reply.body) == (204, b"")
    for method, body in (("GET", None), ("PUT", {"name": "x"}), ("PATCH", {}), ("DELETE", None)):
        again = api.call(method, f"/api/factories/{factory['id']}", body)
        assert (again.status, again.error["code"]) == (404, "FACTORY_NOT_FOUND")
    listed = api.call("GET", "/api/factories").json
    assert [row["id"] for row in listed["data"]] == [other["id"]]
    assert listed["pagination"]["total"] == 1
    assert api.call("GET", f"/api/gateways/{gateway['id']}").status == 404
    assert [row["id"] for row in api.call("GET", "/api/gateways").json["data"]] == [kept["id"]]
    deleted_at = database.execute(
        "SELECT f.deleted_at = g.deleted_at FROM factories f JOIN gateways g ON g.factory_id = f.id"
        " WHERE f.deleted_at IS NOT NULL"
    ).fetchall()
    assert deleted_at == [(True,)], "one transaction"
    orphan = api.call("POST", "/api/gateways", gateway_body(factory["id"], "CTC-3"))
    assert (orphan.status, orphan.fields) == (400, ["factory_id"])


@pytest.mark.req("FACTORY-07", "API-05", "API-06")
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": " \t "}, ["name"]),
        ({"name": "n" * 201}, ["name"]),
        ({"name": None}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"name": "a\0b"}, ["name"]),
        ({"name": "x", "surprise": 1}, ["surprise"]),
        ({"name": "x", "timezone": "Mars/Olympus"}, ["timezone"]),
        ({"name": "x", "timezone": "../UTC"}, ["timezone"]),
        ({"name": "x", "timezone": None}, ["timezone"]),
        ({"name": "x", "location": ""}, ["location"]),
        ({"name": "x", "location": "l" * 501}, ["location"]),
        ({"name": "x", "organization_id": "acme"}, ["organization_id"]),
        ({"name": "x", "organization_id": None}, ["organization_id"]),
        ({"name": "x", "organization_id": NOBODY}, ["organization_id"]),
        ({"name": "x", "metadata": []}, ["metadata"]),
        ({"name": "x", "metadata": None}, ["metadata"]),
        ({"name": "x", "metadata": {"k\0": 1}}, ["metadata"]),
        ({"name": "x", "metadata": {"k": [{"v": "\0"}]}}, ["metadata"]),
        ({"name": "x", "metadata": {"k": 2**63}}, ["metadata"]),
        ({"name": "x", "metadata": {"k": 1e300}}, ["metadata"]),
        ({"name": "x", "metadata": {"k": float("nan")}}, ["metadata"]),
        ({"name": "x", "metadata": {"k": float("inf")}}, ["metadata"]),
        ({"name": "x", "metadata": {"k": "v" * 70_000}}, ["metadata"]),
        ({"name": 5, "location": 5, "timezone": "?", "extra": 0}, ["name", "location", "timezone", "extra"]),
        ([], ["body"]),
        ("x", ["body"]),
    ],
)
def test_every_error_in_a_body_is_reported(api: ApiServer, body: object, fields: list[str]) -> None:
    reply = api.call("POST", "/api/factories", body)
    assert (reply.status, reply.error["code"]) == (400, "VALIDATION_ERROR")
    assert reply.fields == fields
    if isinstance(body, dict) and body:
        factory = api.factory()
        changed = api.call("PUT", f"/api/factories/{factory['id']}", body)
        assert (changed.status, changed.fields) == (400, fields), "an update is checked as a creation is"


@pytest.mark.req("FACTORY-07")
def test_metadata_may_be_16_levels_deep_and_no_deeper(api: ApiServer) -> None:
    def nested(levels: int) -> object:
        return {"k": nested(levels - 1)} if levels > 1 else {}

    assert api.call("POST", "/api/factories", {"name": "x", "metadata": nested(16)}).status == 201
    assert api.call("POST", "/api/factories", {"name": "x", "metadata": nested(17)}).fields == ["metadata"]


@pytest.mark.req("FACTORY-08", "API-05")
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_unknown_id_is_404_and_a_malformed_one_400(api: ApiServer, method: str) -> None:
    body: dict[str, object] | None = {} if method in {"PUT", "PATCH"} else None
    missing = api.call(method, f"/api/factories/{NOBODY}", body)
    assert (missing.status, missing.error["code"]) == (404, "FACTORY_NOT_FOUND")
    for text in ("5", "%00", "%ED%A0%80", NOBODY + "0"):
        reply = api.call(method, f"/api/factories/{text}", body)
        assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", ["id"])
