"""ETag, If-Match and If-None-Match as in RFC 9110."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest

from tests.support.api_server import ApiServer, Reply

NOBODY = "00000000-0000-7000-8000-00000000dead"
KINDS = ("factories", "gateways")
RACERS = 6


def made(api: ApiServer, kind: str) -> str:
    """Create a factory or a gateway; return its path."""
    factory = api.factory()
    return (
        f"/api/factories/{factory['id']}"
        if kind == "factories"
        else f"/api/gateways/{api.gateway(factory['id'])['id']}"
    )


def tag_of(api: ApiServer, path: str) -> str:
    """Return its ETag; assert that it is strong."""
    tag = api.call("GET", path).headers["ETag"]
    assert tag.startswith('"'), tag
    assert tag.endswith('"'), tag
    return tag


def if_match(api: ApiServer, method: str, path: str, tag: str, body: Mapping[str, object] | None) -> Reply:
    """Write with this If-Match."""
    return api.call(method, path, body, headers={"If-Match": tag})


@pytest.mark.parametrize("kind", KINDS)
def test_a_tag_changes_with_every_change_and_with_nothing_else(api: ApiServer, kind: str) -> None:
    factory = api.factory()
    body = {"name": "Mill"}
    if kind == "gateways":
        body |= {
            "factory_id": factory["id"], "gateway_id": "CTC-1", "url": "ws://h", "email": "a@b",
            "password": "p",
        }  # fmt: skip
    created = api.call("POST", f"/api/{kind}", body)
    path = created.headers["Location"]
    assert created.headers["ETag"] == tag_of(api, path) == tag_of(api, path)
    seen = {created.headers["ETag"]}
    for change in ({"name": "New"}, {"metadata": {"a": 1}}, {"name": "Newer"}, {"name": "New"}, {}):
        changed = api.call("PATCH", path, change)
        assert changed.headers["ETag"] == tag_of(api, path)
        seen.add(changed.headers["ETag"])
    assert len(seen) == 5
    assert api.call("HEAD", path).headers["ETag"] in seen


def test_a_new_password_and_a_connect_request_change_the_tag(api: ApiServer) -> None:
    path = made(api, "gateways")
    tags = [tag_of(api, path)]
    api.call("PATCH", path, {"password": "another"})
    tags.append(tag_of(api, path))
    api.call("POST", f"{path}/disconnect")
    tags.append(tag_of(api, path))
    assert len(set(tags)) == 3
    for old in tags[:2]:
        assert if_match(api, "PATCH", path, old, {"name": "x"}).status == 412


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_if_match_writes_only_the_expected_version(api: ApiServer, kind: str, method: str) -> None:
    path = made(api, kind)
    old = tag_of(api, path)
    assert api.call("PATCH", path, {"name": "Someone was faster"}).status == 200
    body = None if method == "DELETE" else {"name": "Mine"}
    for tag in (
        old,
        f"W/{tag_of(api, path)}",
        '"x"',
        '""',
        f'"x", {old}',
        '"0-0"',
        '"99999999999999999999-0"',
    ):
        refused = if_match(api, method, path, tag, body)
        assert (refused.status, refused.error["code"]) == (412, "PRECONDITION_FAILED"), tag
    current = api.call("GET", path)
    assert current.json["name"] == "Someone was faster"
    done = if_match(api, method, path, f'"x" ,, W/"y",{current.headers["ETag"]}', body)
    assert done.status == (204 if method == "DELETE" else 200)
    assert api.call("GET", path).status == (404 if method == "DELETE" else 200)


@pytest.mark.parametrize("kind", KINDS)
def test_if_match_star_matches_any_existing_resource(api: ApiServer, kind: str) -> None:
    path = made(api, kind)
    assert if_match(api, "PUT", path, "*", {"name": "x"}).status == 200
    assert api.call("GET", path, headers={"If-None-Match": "*"}).status == 304
    assert api.call("GET", path, headers={"If-Match": "*"}).status == 200
    refused = api.call("PUT", path, {"name": "y"}, headers={"If-None-Match": "*"})
    assert (refused.status, refused.error["code"]) == (412, "PRECONDITION_FAILED")
    assert api.call("GET", path).json["name"] == "x"
    assert if_match(api, "DELETE", path, " * ", None).status == 204
    gone = if_match(api, "DELETE", path, "*", None)
    assert gone.status == 404, "a condition does not change 404"


@pytest.mark.parametrize("kind", KINDS)
def test_if_none_match_of_the_current_version_is_304(api: ApiServer, kind: str) -> None:
    path = made(api, kind)
    tag = tag_of(api, path)
    for value in (tag, f"W/{tag}", f'"x", {tag}', f'W/"x",W/{tag}, "y"'):
        for method in ("GET", "HEAD"):
            reply = api.call(method, path, headers={"If-None-Match": value})
            assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", tag), value
            assert reply.headers["Content-Type"] is None
            assert reply.headers["X-Request-ID"]
    assert api.call("GET", path, headers={"If-None-Match": '"x", W/"y"'}).status == 200
    assert api.call("GET", path, headers={"If-Match": '"x"'}).status == 412
    assert api.call("GET", path, headers={"If-Match": tag}).status == 200
    api.call("PATCH", path, {"name": "New"})
    fresh = api.call("GET", path, headers={"If-None-Match": tag})
    assert (fresh.status, fresh.json["name"]) == (200, "New")


def test_if_none_match_prevents_a_write(api: ApiServer) -> None:
    path = made(api, "factories")
    tag = tag_of(api, path)
    assert api.call("PATCH", path, {"name": "x"}, headers={"If-None-Match": f"W/{tag}"}).status == 412
    assert api.call("PATCH", path, {"name": "x"}, headers={"If-None-Match": '"y"'}).status == 200
    both = {"If-Match": tag_of(api, path), "If-None-Match": '"y"'}
    assert api.call("PATCH", path, {"name": "z"}, headers=both).status == 200


def test_observed_state_changes_the_etag_but_not_the_version(
    api: ApiServer, database: psycopg.Connection
) -> None:
    path = made(api, "gateways")
    tag = tag_of(api, path)
    database.execute(
        "INSERT INTO gateway_connections (gateway_id, last_seen_at) SELECT id, now() FROM gateways"
    )
    seen = api.call("GET", path, headers={"If-None-Match": tag})
    assert (seen.status, seen.headers["ETag"] != tag) == (200, True)
    assert seen.json["last_seen_at"] is not None
    assert if_match(api, "PATCH", path, tag, {"name": "x"}).status == 200


@pytest.mark.parametrize("path", ["/api/factories", "/api/gateways?limit=1", "/api/workers"])
def test_an_unchanged_list_is_304(api: ApiServer, path: str) -> None:
    factory = api.factory()
    api.gateway(factory["id"])
    tag = tag_of(api, path)
    known = {"If-None-Match": tag}
    assert api.call("GET", path, headers=known).status == 304
    assert api.call("GET", f"{path}{'&' if '?' in path else '?'}offset=1", headers=known).status == (200)
    if path != "/api/workers":
        api.factory(name="Another")
        api.gateway(factory["id"], "CTC-2")
        assert api.call("GET", path, headers=known).status == 200


@pytest.mark.req("API-05", "API-06")
@pytest.mark.parametrize(
    "value",
    [
        "", " ", "x", "5", ",", '"', '"x', 'x"', '"a""b"', '"a" "b"', '"a b"', "*, *", '*, "x"', 'w/"x"',
        "W/x", 'W/ "x"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_a_malformed_condition_is_rejected(api: ApiServer, name: str, value: str) -> None:
    path = made(api, "factories")
    requests: list[tuple[str, str, Any]] = [
        ("GET", path, None), ("PUT", path, {}), ("PATCH", path, {}), ("DELETE", path, None),
        ("GET", "/api/factories", None),
    ]  # fmt: skip
    for method, target, body in requests:
        reply = api.call(method, target, body, headers={name: value})
        assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [name])
    assert api.call("GET", path).status == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_one_of_many_concurrent_conditional_writes_succeeds(api: ApiServer, kind: str, method: str) -> None:
    for _ in range(5):
        path = made(api, kind)
        tag = tag_of(api, path)
        start = Barrier(RACERS)

        def write(number: int, path: str = path, tag: str = tag, start: Barrier = start) -> int:
            body = None if method == "DELETE" else {"name": f"Writer {number}"}
            start.wait(timeout=10)
            return if_match(api, method, path, tag, body).status

        with ThreadPoolExecutor(RACERS) as pool:
            statuses = sorted(pool.map(write, range(RACERS)))
        if method == "DELETE":
            assert statuses == [204, *[404] * (RACERS - 1)]
            continue
        assert statuses == [200, *[412] * (RACERS - 1)]
        assert api.call("DELETE", path).status == 204


def test_a_precondition_is_checked_last(api: ApiServer) -> None:
    path = made(api, "gateways")
    stale = {"If-Match": '"0-0"'}
    assert api.call("PUT", path, {"name": ""}, headers=stale).fields == ["name"]
    assert api.call("PUT", path, {"factory_id": NOBODY}, headers=stale).fields == ["factory_id"]
    assert api.call("PUT", f"/api/gateways/{NOBODY}", {}, headers=stale).status == 404
    assert api.call("DELETE", f"/api/factories/{NOBODY}", headers=stale).status == 404
