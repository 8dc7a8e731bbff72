"""Edge values: reserved ids, limits, surrounding white space, and values that merely compare equal."""

import json
from typing import Any

import pytest

from tests.support.api_server import ApiServer, gateway_body

NIL, MAX = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
MARGINS = " \t\u00a0{}\ufeff\n"
JSON_LINES = {"Content-Type": "application/x-ndjson"}


def messages(reply: Any) -> dict[str, str]:
    """Return each field's error messages."""
    return {detail["field"]: detail["message"] for detail in reply.error["details"]}


@pytest.mark.req("GATEWAY-01")
@pytest.mark.parametrize("reserved", [NIL, MAX])
def test_no_id_is_reserved_for_something_else(api: ApiServer, reserved: str) -> None:
    """Internal rows with such an id are not visible to clients."""
    api.gateway(api.factory()["id"])
    for query in ("", "&state=disconnected", "&desired_state=connected", "&deleted=only", "&q=Press"):
        found = api.call("GET", f"/api/gateways?factory_id={reserved}{query}")
        assert (found.status, found.json["data"], found.json["pagination"]["total"]) == (200, [], 0), query
    assert api.call("GET", f"/api/events?factory_id={reserved}").json["data"] == []
    for word in ("connect", "disconnect"):
        assert api.call("POST", f"/api/gateways/{word}", {"factory_id": reserved}).fields == ["factory_id"]
        assert api.call("POST", f"/api/gateways/{reserved}/{word}").status == 404
    assert api.call("POST", "/api/gateways", gateway_body(reserved, "CTC-2")).fields == ["factory_id"]
    assert api.call("POST", "/api/factories", {"name": "x", "organization_id": reserved}).fields == [
        "organization_id"
    ]
    for path in (
        f"/api/gateways/{reserved}",
        f"/api/gateways/{reserved}/status",
        f"/api/factories/{reserved}",
    ):
        assert api.call("GET", path).status == 404


@pytest.mark.req("GATEWAY-01")
@pytest.mark.parametrize("is_file", [False, True])
def test_white_space_around_a_text_is_never_part_of_it(api: ApiServer, *, is_file: bool) -> None:
    texts = gateway_body(api.factory()["id"])
    sent = {name: MARGINS.format(value) for name, value in texts.items()}
    if is_file:
        line = json.dumps(sent).encode()
        reply = api.call("POST", "/api/gateways/import", body=line, headers=JSON_LINES)
        assert reply.status == 201, reply.body
        gateway = api.call("GET", f"/api/gateways/{reply.json['data'][0]['id']}").json
    else:
        gateway = api.gateway(**sent)
    del texts["password"]
    assert {name: gateway[name] for name in texts} == texts


@pytest.mark.req("FACTORY-01")
def test_white_space_around_identifiers_is_ignored(api: ApiServer) -> None:
    made = api.factory(timezone=" Europe/Berlin ", name=" Mill ")
    assert (made["timezone"], made["name"]) == ("Europe/Berlin", "Mill")
    again = api.factory(organization_id=f" {made['organization_id']}\n")
    assert again["organization_id"] == made["organization_id"]
    changed = api.call(
        "PATCH", f"/api/gateways/{api.gateway(made['id'])['id']}", {"email": " a@b ", "url": " ws://h "}
    )
    assert (changed.json["email"], changed.json["url"]) == ("a@b", "ws://h")
    reply = api.call("POST", "/api/gateways/connect", {"factory_id": f" {made['id']} "})
    assert (reply.status, reply.json["matched"]) == (202, 1)


@pytest.mark.req("GATEWAY-01")
def test_blank_texts_are_rejected(api: ApiServer) -> None:
    blank = gateway_body(" ", url="  ", email="\t ")
    assert api.call("POST", "/api/gateways", blank).fields == ["factory_id", "url", "email"]


@pytest.mark.req("API-05")
@pytest.mark.parametrize("almost", [1, 1.0, "true", [True], None, False, 0])
def test_only_the_word_true_means_true(api: ApiServer, almost: object) -> None:
    api.gateway(api.factory()["id"])
    reply = api.call("POST", "/api/gateways/disconnect", {"all": almost})
    assert (reply.status, messages(reply)) == (400, {"all": "must be true"})
    assert api.call("POST", "/api/gateways/disconnect", {"all": True}).json["matched"] == 1


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        ("/api/gateways?limit=-1", "limit", "must be a whole number from 1 to 100"),
        ("/api/gateways?limit=0", "limit", "must be a whole number from 1 to 100"),
        ("/api/gateways?limit=101", "limit", "must be a whole number from 1 to 100"),
        ("/api/factories?offset=1000001", "offset", "must be a whole number from 0 to 1000000"),
        ("/api/factories?offset=x", "offset", "must be a whole number from 0 to 1000000"),
        ("/api/events?wait=31", "wait", "must be a whole number from 0 to 30"),
        ("/api/events?limit=99999999999", "limit", "must be a whole number from 1 to 100"),
    ],
)
def test_a_number_out_of_range_gets_the_range(api: ApiServer, path: str, field: str, message: str) -> None:
    assert messages(api.call("GET", path)) == {field: message}


@pytest.mark.req("API-06")
@pytest.mark.parametrize(
    "far", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "1970-01-01T00:00:00Z"]
)
def test_a_time_out_of_range_gets_the_range(api: ApiServer, far: str) -> None:
    gateway = api.gateway(api.factory()["id"])["id"]
    errors = messages(api.call("GET", f"/api/gateways/{gateway}/availability?from={far}&to={far}"))
    assert set(errors) == {"from", "to"}
    assert all("from 2000 to 2999" in message for message in errors.values())


@pytest.mark.req("API-06")
def test_a_text_of_the_wrong_length_gets_a_plain_message(api: ApiServer) -> None:
    body = gateway_body(
        api.factory()["id"], "x" * 101, password="", name="", email="@", url="ws://" + "x" * 2000
    )
    assert messages(api.call("POST", "/api/gateways", body)) == {
        "gateway_id": "must have at most 100 characters",
        "name": "must not be empty",
        "url": "must have at most 2000 characters",
        "email": "must have at least 3 characters",
        "password": "must not be empty",
    }
    long = gateway_body(api.factory()["id"], password="x" * 1025)
    assert messages(api.call("POST", "/api/gateways", long)) == {
        "password": "must have at most 1024 characters"
    }


@pytest.mark.req("API-06")
def test_invalid_utf_8_is_reported(api: ApiServer) -> None:
    for query in ("q=M%fchle", "q=a&%ff=1", "q=%ed%a0%80"):
        assert messages(api.call("GET", f"/api/factories?{query}")) == {
            "query": "must be percent-encoded as UTF-8"
        }, query
    assert api.call("GET", "/api/factories?q=M%C3%BChle").status == 200
    latin = '{"name": "Mühle"}'.encode("latin-1")
    reply = api.call("POST", "/api/factories", body=latin, headers={"Content-Type": "application/json"})
    assert (reply.error["code"], messages(reply)) == ("INVALID_JSON", {"body": "must be UTF-8"})
    lines = {"Content-Type": "application/x-ndjson; charset=iso-8859-1"}
    reply = api.call("POST", "/api/gateways/import", body=latin, headers=lines)
    assert messages(reply) == {"lines.1": "is not UTF-8, which JSON requires"}
