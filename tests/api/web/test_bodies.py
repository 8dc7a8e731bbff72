"""Bodies of all kinds of clients: those allowed by the RFCs are accepted, others are rejected clearly."""

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from service.api.validation.metadata import shown_bytes
from tests.support.api_server import ApiServer, Reply, gateway_body

JSON = {"Content-Type": "application/json"}
NAMED = b'{"name": "x"}'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_METADATA_BYTES = 64 * 1024
READ_ONLY = {
    "factories": {"id", "created_at", "updated_at", "deleted_at"},
    "gateways": {
        "id", "desired_state", "generation", "last_seen_at", "created_at", "updated_at", "deleted_at",
    },
}  # fmt: skip


def post(api: ApiServer, body: bytes, headers: dict[str, str] = JSON, path: str = "/api/factories") -> Reply:
    """Send a raw body."""
    return api.call("POST", path, body=body, headers=headers)


def made(api: ApiServer, kind: str) -> str:
    """Create a factory, or a gateway in one; return its path."""
    factory = api.factory(location="Lyon", timezone="Europe/Paris", metadata={"a": 1.5})
    if kind == "factories":
        return f"/api/factories/{factory['id']}"
    return f"/api/gateways/{api.gateway(factory['id'], model='M', metadata={'b': [1, 0.1]})['id']}"


@pytest.mark.req("API-05")
@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf8",
        'application/json; charset="UTF-8"',
        "application/json;charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; charset",
        "application/json;",
        "application/json; profile=x; odd",
        "APPLICATION/JSON",
        " application/json ",
        "text/json",
        "application/vnd.example.v2+json",
        "application/problem+json; charset=utf-8",
    ],
)
def test_json_is_accepted_with_any_media_type_parameters(api: ApiServer, kind: str) -> None:
    assert post(api, NAMED, {"Content-Type": kind}).status == 201


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    "kind",
    [
        None, "", "text/plain", "*/*", "application/*", "application/x-www-form-urlencoded", "json", "+json",
        "multipart/form-data", "text/plain; application/json", "application/json, application/json",
        "text/plain+json", "application/json-patch+json", "application/merge-patch+json",
    ],
)  # fmt: skip
def test_another_media_type_is_rejected_with_the_accepted_ones(api: ApiServer, kind: str | None) -> None:
    reply = post(api, NAMED, {} if kind is None else {"Content-Type": kind})
    assert (reply.status, reply.error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert reply.headers["Accept"] == "application/json"
    assert reply.headers["Accept-Encoding"] is None


@pytest.mark.req("API-06")
def test_other_patch_formats_and_partial_bodies_are_rejected(api: ApiServer) -> None:
    path = made(api, "gateways")
    for kind in ("application/merge-patch+json", "application/json-patch+json", "text/plain"):
        reply = api.call("PATCH", path, body=NAMED, headers={"Content-Type": kind})
        assert (reply.status, reply.headers["Accept-Patch"]) == (415, "application/json"), (
            "RFC 5789, section 2.2"
        )
    part = {**JSON, "Content-Range": "bytes 0-12/100"}
    for method in ("PUT", "PATCH"):
        reply = api.call(method, path, body=NAMED, headers=part)
        assert (reply.status, reply.error["code"]) == (400, "BAD_REQUEST"), "RFC 9110, section 14.5"


@pytest.mark.req("API-06")
def test_only_the_identity_encoding_is_accepted(api: ApiServer) -> None:
    for coding in ("identity", "IDENTITY", "", " identity , identity"):
        assert post(api, NAMED, {**JSON, "Content-Encoding": coding}).status == 201, coding
    for coding in ("gzip", "br", "identity, gzip", "aes128gcm", "utf-8"):
        reply = post(api, NAMED, {**JSON, "Content-Encoding": coding})
        assert (reply.status, reply.error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE"), coding
        assert (reply.headers["Accept-Encoding"], reply.headers["Accept"]) == ("identity", None)
    factory_id = api.factory()["id"]
    row = json.dumps(gateway_body(factory_id)).encode()
    lines = {"Content-Type": "application/x-ndjson", "Content-Encoding": "identity"}
    assert post(api, row, lines, "/api/gateways/import").status == 201
    packed = post(api, row, {**lines, "Content-Encoding": "gzip"}, "/api/gateways/import")
    assert (packed.status, packed.headers["Accept-Encoding"]) == (415, "identity")


@pytest.mark.req("API-06")
def test_a_byte_order_mark_before_json_is_skipped(api: ApiServer) -> None:
    factory = post(api, BYTE_ORDER_MARK + NAMED)
    assert factory.status == 201
    path = factory.headers["Location"]
    assert api.call("PATCH", path, body=BYTE_ORDER_MARK + b"{}", headers=JSON).status == 200
    assert post(api, BYTE_ORDER_MARK, path=f"{path}/restore").status == 200
    for other in (BYTE_ORDER_MARK * 2 + NAMED, b" " + BYTE_ORDER_MARK + NAMED):
        assert post(api, other).error["code"] == "INVALID_JSON"


@pytest.mark.req("API-06")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_another_encoding_is_rejected_by_name(api: ApiServer, encoding: str) -> None:
    reply = post(api, NAMED.decode().encode(encoding))
    assert (reply.status, reply.error["code"]) == (400, "INVALID_JSON")
    assert "UTF-8" in reply.error["details"][0]["message"]


@pytest.mark.req("API-05", "API-06")
@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        (b'{"name": "x", "name": "y"}', "VALIDATION_ERROR", ["name"]),
        (b'{"name": "x", "n\\u0061me": "x", "location": "a", "location": "b"}', "VALIDATION_ERROR",
         ["name", "location"]),
        (b'{"name": "x", "metadata": {"a": 1, "a": 1}}', "VALIDATION_ERROR", ["metadata"]),
        (b'{"name": "x", "metadata": {"a": [{"b": {"c": 1, "c": 2}}]}}', "VALIDATION_ERROR", ["metadata"]),
        (b'{"name": "x", "metadata": {"k": NaN}}', "VALIDATION_ERROR", ["metadata"]),
        (b'{"name": "x", "metadata": {"k": -Infinity}}', "VALIDATION_ERROR", ["metadata"]),
        (b'{"name": "x", "metadata": {"k": 1e400}}', "VALIDATION_ERROR", ["metadata"]),
        (b'{"name": "x", "metadata": {"k": 1' + b"0" * 400 + b"}}", "VALIDATION_ERROR", ["metadata"]),
        (b'{"name": "x", "metadata": {"k": 1' + b"0" * 999_000 + b"}}", "INVALID_JSON", ["body"]),
        (b'{"name": "x", "metadata": {"k": ' + b"[" * 150 + b"]" * 150 + b"}}", "VALIDATION_ERROR",
         ["metadata"]),
        (b'{"name": "x", "metadata": ' + b'{"k":' * 99_000 + b"0" + b"}" * 99_000 + b"}", "INVALID_JSON",
         ["body"]),
        (b'{"name": "x", "metadata": {"\\udc00": 1}}', "INVALID_JSON", ["body"]),
        (b'{"name": "\\ud83d"}', "INVALID_JSON", ["body"]),
        (b'{"name": "x", "id": 1, "\\u0000": 1}', "VALIDATION_ERROR", ["id", "\0"]),
        (b"NaN", "VALIDATION_ERROR", ["body"]),
        (b"null", "VALIDATION_ERROR", ["body"]),
        (b"{'name': 'x'}", "INVALID_JSON", ["body"]),
        (b'{"name": "x",}', "INVALID_JSON", ["body"]),
        (b'{"name": "x"} // note', "INVALID_JSON", ["body"]),
    ],
)  # fmt: skip
def test_invalid_json_is_rejected_clearly(api: ApiServer, body: bytes, code: str, fields: list[str]) -> None:
    reply = post(api, body)
    assert (reply.status, reply.error["code"], reply.fields) == (400, code, fields)


def test_duplicate_names_are_rejected_in_all_json(api: ApiServer) -> None:
    for kind in ("factories", "gateways"):
        reply = api.call("PUT", made(api, kind), body=b'{"name": "x", "name": "y"}', headers=JSON)
        assert (reply.status, reply.fields) == (400, ["name"])
    factory_id = api.factory()["id"]
    row = json.dumps(gateway_body(factory_id, "CTC-7")).encode()
    twice = row.replace(b"}", b', "password": "other"}')
    lines = {"Content-Type": "application/x-ndjson"}
    refused = post(api, row + b"\n" + twice, lines, "/api/gateways/import?dry_run=true")
    assert (refused.status, "lines.2.password" in refused.fields) == (400, True)
    csv = b"factory_id,gateway_id,name,url,email,password,metadata\n%s,CTC-8,n,ws://h,a@b,p,%s\n"
    filled = csv % (factory_id.encode(), b'"{""a"": 1, ""a"": 2}"')
    refused = post(api, filled, {"Content-Type": "text/csv"}, "/api/gateways/import")
    assert (refused.status, refused.fields) == (400, ["lines.2.metadata"])


@pytest.mark.req("FACTORY-07")
@pytest.mark.parametrize(
    "value",
    [
        [1e-300] * 9000,
        [5e-324] * 300,
        {"k": [1.7e-08] * 6000},
        [1e18] * 3200,
        [1] * 30_000,
        {str(number): -1.5e-200 for number in range(400)},
    ],
)
def test_metadata_is_limited_in_its_parsed_form(api: ApiServer, value: Any) -> None:
    metadata = {"m": value}
    assert len(json.dumps(metadata, separators=(",", ":"))) < MAX_METADATA_BYTES
    factory = api.factory()
    for method, path, body in (
        ("POST", "/api/factories", {"name": "x", "metadata": metadata}),
        ("PATCH", f"/api/factories/{factory['id']}", {"metadata": metadata}),
        ("POST", "/api/gateways", gateway_body(factory["id"], metadata=metadata)),
    ):
        reply = api.call(method, path, body)
        assert (reply.status, reply.fields) == (400, ["metadata"])
    lines = json.dumps(gateway_body(factory["id"], metadata=metadata)).encode()
    imported = post(api, lines, {"Content-Type": "application/x-ndjson"}, "/api/gateways/import")
    assert imported.fields == ["lines.1.metadata"]


@pytest.mark.req("FACTORY-07")
def test_the_most_metadata_can_be_read_and_sent_again(api: ApiServer) -> None:
    items: list[Any] = [1e-300, 1e17, 0.1, -0.0, '\t\u0001"\\/ü\U0001f511\x7f', [[{}]], None, True]
    for item in items:
        one = len(json.dumps([item, item], ensure_ascii=False).encode()) + 310
        metadata = {"m": [item] * (MAX_METADATA_BYTES // one)}
        factory = api.factory(metadata=metadata)
        assert factory["metadata"] == metadata
        path = f"/api/factories/{factory['id']}"
        assert len(api.call("GET", path).body) < MAX_METADATA_BYTES + 1000
        assert api.call("PUT", path, {"metadata": factory["metadata"]}).status == 200


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, max_value=9e18, min_value=-9e18)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab"\n'), inner),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(JSON_VALUES)
def test_the_size_of_metadata_is_that_of_its_stored_text(database: psycopg.Connection, value: Any) -> None:
    shown = database.execute("SELECT octet_length(%s::text)", [Jsonb({"m": value})]).fetchone()
    assert shown is not None
    # PostgreSQL has no negative zero.
    assert shown_bytes({"m": value}) - str(value).count("-0.0") <= shown[0] <= shown_bytes({"m": value})


@pytest.mark.req("FACTORY-04", "GATEWAY-04")
@pytest.mark.parametrize("kind", ["factories", "gateways"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_read_resource_may_be_sent_back(
    api: ApiServer, database: psycopg.Connection, kind: str, method: str
) -> None:
    path = made(api, kind)
    read = api.call("GET", path)
    edited = {**read.json, "name": "Edited"}
    tag = {"If-Match": read.headers["ETag"]}
    changed = api.call(method, path, edited, headers=tag)
    assert changed.status == 200, changed.body
    shown = changed.json
    assert shown == {**read.json, "name": "Edited", "updated_at": shown["updated_at"]}
    # Concurrent changes cause no error and are not reverted.
    if kind == "gateways":
        api.call("POST", f"{path}/disconnect")
        again = api.call(method, path, {**edited, "name": "Once more"})
        assert (again.status, again.json["desired_state"]) == (200, "disconnected")


@pytest.mark.req("FACTORY-07", "API-05")
@pytest.mark.parametrize("kind", ["factories", "gateways"])
def test_only_the_resources_own_read_only_fields_are_ignored(api: ApiServer, kind: str) -> None:
    path = made(api, kind)
    read = api.call("GET", path).json
    odd = dict.fromkeys(READ_ONLY[kind] - {"id"}, "odd")
    ignored = api.call("PUT", path, odd)
    assert ignored.status == 200
    assert {**ignored.json, "updated_at": None} == {**read, "updated_at": None}
    assert api.call("PUT", path, {"id": read["id"].upper()}).status == 200
    for other in ("00000000-0000-7000-8000-00000000dead", None, 5, "x"):
        assert api.call("PUT", path, {"id": other, "name": "x"}).fields == ["id"]
    for unknown in ("version", "state", "sealed_password", "connect_requested_at", "links"):
        assert api.call("PUT", path, {**read, unknown: 1}).fields == [unknown]
    assert set(post(api, json.dumps(read).encode(), path=f"/api/{kind}").fields) >= READ_ONLY[kind]
    assert api.call("GET", path).json["name"] == read["name"]
