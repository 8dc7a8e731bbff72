"""Normal forms of texts, addresses and times, and invalid ones."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from service.api.schemas.fields import TIMEZONES
from service.api.validation.texts import IDENTIFIER_PATTERN, TEXT_PATTERN, normal_identifier, normal_text
from service.api.validation.times import parse_time
from service.api.validation.urls import normal_url
from tests.support.api_server import ApiServer, gateway_body

ZERO_WIDTH = "\u200b"
BLANKS = " \t\n\r\v\f\x1c\x1f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
STRAYS = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff"
# Characters with special rules among ordinary ones.
TEXTS = st.text(
    st.one_of(
        st.sampled_from(BLANKS + STRAYS + "\u0301\u034f\u115f\u200c\u200d\u2800\u3164\ufe0f\U000e0041"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=12,
)


def accepted(normal: Callable[[str, int], str], text: str) -> bool:
    """Whether a text has a normal form."""
    try:
        normal(text, 1000)
    except PydanticCustomError:
        return False
    return True


@given(TEXTS)
def test_a_normal_form_is_stable_and_matches_its_pattern(text: str) -> None:
    for normal, pattern in ((normal_text, TEXT_PATTERN), (normal_identifier, IDENTIFIER_PATTERN)):
        if accepted(normal, text):
            assert normal(normal(text, 1000), 1000) == normal(text, 1000)
            assert normal(f"{BLANKS}{text}{STRAYS}", 1000) == normal(text, 1000)
        # Beyond U+FFFF the pattern accepts all: not every regular expression engine knows these characters.
        fits = re.search(pattern, text) is not None
        assert fits == accepted(normal, text) or (fits and max(text) > "\uffff"), ascii(text)


def test_the_patterns_are_portable() -> None:
    for pattern in (TEXT_PATTERN, IDENTIFIER_PATTERN):
        assert max(pattern) < "\x7f"


@pytest.mark.parametrize(
    "text",
    ["Mill", "Zu\u0308rich", "हिन्दी", "क्\u200d", "\u0645\u06cc\u200c\u062e", "\u2764\ufe0f", "a  b",
     "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
     "\U0001f468\u200d\U0001f469\u200d\U0001f467"],
)  # fmt: skip
def test_inner_characters_of_a_name_are_kept(text: str) -> None:
    assert normal_text(text, 200) == text.replace("u\u0308", "ü")


def test_a_text_is_limited_in_its_normal_form() -> None:
    assert normal_text("e\u0301" * 100, 100) == "é" * 100
    with pytest.raises(PydanticCustomError, match="at most 100"):
        normal_text("\u0958" * 51, 100)


@pytest.mark.req("GATEWAY-01")
def test_gateway_ids_are_unique_in_their_normal_form(api: ApiServer) -> None:
    factory = api.factory()
    first = api.gateway(factory["id"], "Halle \u00e9-1")
    for same in (
        "Halle \u00e9-1 ", "\tHalle \u00e9-1\r\n", "\xa0Halle e\u0301-1", "\ufeffHalle \u00e9-1\u200b\u2060",
        "\u200e Halle e\u0301-1 \u200f",
    ):  # fmt: skip
        body = gateway_body(factory["id"], same)
        refused = api.call("POST", "/api/gateways", body)
        assert (refused.status, refused.error["code"]) == (409, "GATEWAY_ID_CONFLICT"), ascii(same)
        kept = api.call("PUT", f"/api/gateways/{first['id']}", {"gateway_id": same})
        assert (kept.status, kept.json["gateway_id"]) == (200, "Halle \u00e9-1")
    for hidden in (
        "CTC\u200b-1",
        "CTC\n1",
        "CTC\t1",
        "CTC\xa01",
        "CTC\u00ad1",
        "C\ufe0fTC",
        "C\U000e0041",
        "\u2800",
    ):
        reply = api.call("POST", "/api/gateways", gateway_body(factory["id"], hidden))
        assert (reply.status, reply.fields) == (400, ["gateway_id"]), ascii(hidden)
        assert "invisible" in reply.error["details"][0]["message"]
    assert api.gateway(factory["id"], "halle \u00e9-1")["id"] != first["id"], "case distinguishes devices"


@pytest.mark.req("FACTORY-02", "GATEWAY-02")
def test_names_are_found_in_any_form(api: ApiServer) -> None:
    factory = api.factory(name=" Mu\u0308hle\xa0", location="\tZu\u0308rich ")
    assert (factory["name"], factory["location"]) == ("M\u00fchle", "Z\u00fcrich")
    gateway = api.gateway(factory["id"], "CTC-\u00e9", name="Pre\u0301sse\n", model=" M ")
    assert (gateway["name"], gateway["model"]) == ("Pr\u00e9sse", "M")
    for path in (
        "factories?q=mu%CC%88h",
        "factories?q=M%C3%BChle",
        "gateways?q=pre%CC%81s",
        "gateways?q=ctc-e%CC%81",
    ):
        assert api.call("GET", f"/api/{path}").json["pagination"]["total"] == 1, path
    page = api.call("GET", "/api/factories?limit=1&q=u%CC%88").json
    api.factory(name="M\u00fchle 2")
    page = api.call("GET", "/api/factories?limit=1&q=u%CC%88").json
    again = f"/api/factories?limit=1&q=%C3%BC&cursor={page['pagination']['next_cursor']}"
    assert api.call("GET", again).json["data"][0]["name"] == "M\u00fchle 2"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("WS://host", "ws://host"),
        ("Wss://Gateway.Example.COM/Socket?Plant=ä", "wss://gateway.example.com/Socket?Plant=%C3%A4"),
        ("ws://host:80/x", "ws://host/x"),
        ("wss://host:443", "wss://host"),
        ("wss://host:80", "wss://host:80"),
        ("ws://host:00080", "ws://host"),
        ("ws://host:05000", "ws://host:5000"),
        ("ws://host:", "ws://host"),
        ("ws://host:?x", "ws://host?x"),
        ("ws://münchen.example", "ws://xn--mnchen-3ya.example"),
        ("ws://MÜNCHEN.example.:5000", "ws://xn--mnchen-3ya.example.:5000"),
        ("ws://mu\u0308nchen.example", "ws://xn--mnchen-3ya.example"),
        ("ws://straße.example", "ws://xn--strae-oqa.example"),
        ("ws://m%C3%BCnchen.example", "ws://xn--mnchen-3ya.example"),
        ("ws://%68ost", "ws://host"),
        ("ws://host.", "ws://host."),
        ("ws://[2001:DB8:0::7]:5000/", "ws://[2001:db8::7]:5000/"),
        ("ws://[::FFFF:192.0.2.1]", "ws://[::ffff:192.0.2.1]"),
        ("ws://host/%7euser/%c3%a4/%2f%zz%", "ws://host/~user/%C3%A4/%2F%zz%"),
        ("ws://host/a b".replace(" ", "%20"), "ws://host/a%20b"),
        ("ws://HOST/", "ws://host/"),
        ("ws://192.0.2.7:5000", "ws://192.0.2.7:5000"),
    ],
)  # fmt: skip
def test_an_address_has_one_normal_form(text: str, normal: str) -> None:
    assert normal_url(text) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "ws:/host", "ws//host", "wsx://host", "http://host", "ws://", "ws://:80", "ws:///path", "ws://?x",
        "ws://host:0", "ws://host:65536", "ws://host:8a", "ws://host:\u0665", "ws://host:-1", "ws://a:1:2",
        "ws://us%65r@host", "ws://user:p@host", "ws://host%40x:pä@host", "ws://ho%73t%2F", "ws://ho%zzst",
        "ws://%ff", "ws://ho%00st", "ws://[::1", "ws://::1]", "ws://[v1.x]", "ws://[::1%25lo]", "ws://[::1]x",
        "ws://host/a b", "ws://host\\x", "ws://host/\u200b", "ws://ho\u200bst", "ws://host/\xa0", "ws://host\n",
        " ws://host", "ws://a..b", "ws://-ä-", "ws://ä_b", "ws://" + "a" * 64, "ws://host/" + "ä" * 400,
        "ws://host/#x", "ws://ä..b",
    ],
)  # fmt: skip
def test_an_invalid_address_is_rejected_without_being_repeated(text: str) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        normal_url(text)
    assert refused.value.message().startswith("must ")


@given(st.text(max_size=30), st.sampled_from(["ws://", "WSS://host", "ws://[", "ws://host:8", "ws://%c3"]))
def test_any_text_is_an_address_with_one_normal_form_or_invalid(text: str, start: str) -> None:
    try:
        normal = normal_url(start + text)
    except PydanticCustomError:
        return
    assert normal.isascii()
    assert normal_url(normal) == normal


@pytest.mark.req("GATEWAY-01")
def test_an_address_is_stored_in_its_normal_form(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    gateway = api.gateway(factory_id, url="WS://Gateway.Münster.EXAMPLE:80/Socket")
    assert gateway["url"] == "ws://gateway.xn--mnster-3ya.example/Socket"
    same = api.call(
        "PUT", f"/api/gateways/{gateway['id']}", {"url": "ws://GATEWAY.xn--mnster-3ya.example:80/Socket"}
    )
    assert (same.status, same.json["url"], same.json["generation"]) == (200, gateway["url"], 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02t03:04:05z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02 03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05.1234567Z", "2026-01-02T03:04:05.123456+00:00"),
        ("2026-01-02T03:04:05.123456789+05:30", "2026-01-01T21:34:05.123456+00:00"),
        ("2026-01-02T03:04:05.999999999999999999-23:59", "2026-01-03T03:03:05.999999+00:00"),
        ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500000+00:00"),
        ("2026-01-02T03:04:05 01:00", "2026-01-02T02:04:05+00:00"),
        ("2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2017-01-01T00:59:60.5+01:00", "2017-01-01T00:00:00+00:00"),
        ("2000-01-01T00:00:00+23:59", "1999-12-31T00:01:00+00:00"),
        ("2999-12-31T23:59:59-23:59", "3000-01-01T23:58:59+00:00"),
    ],
)
def test_times_of_many_languages_are_parsed(text: str, expected: str) -> None:
    assert parse_time(text) == datetime.fromisoformat(expected)
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04Z", "20260102T030405Z",
        "2026-1-2T03:04:05Z", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T23:60:00Z",
        "2026-01-02T12:00:60Z",
        "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05+01",
        "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+01:60", "2026-01-02T03:04:05Z ",
        "2026-01-02_03:04:05Z",
        "2026-W01-1T00:00:00Z", "1999-01-01T00:00:00Z", "\u0662026-01-02T03:04:05Z", "2026-01-02T03:04:05Z\0",
        "2026-01-02T03:04:05 Z", "2026-01-02  03:04:05Z", "2026-01-02T03:04:0512Z", None, 1767323045,
    ],
)  # fmt: skip
def test_an_invalid_time_is_rejected(text: object) -> None:
    with pytest.raises(PydanticCustomError, match="RFC 3339"):
        parse_time(text)


@pytest.mark.parametrize("field", ["from", "to"])
def test_times_of_other_languages_are_accepted_over_http(api: ApiServer, field: str) -> None:
    gateway = api.gateway(api.factory()["id"])
    path = f"/api/gateways/{gateway['id']}/availability"
    start = f"{datetime.now(UTC):%Y-%m-%dT00:00:00}"
    for written in (f"{start}.0000000Z", f"{start.lower()}.123456789z", f"{start}+00:00", f"{start}%2B00:00"):
        other = "" if field == "from" else "&from=" + f"{datetime.now(UTC):%Y-%m-01T00:00:00Z}"
        asked = api.call("GET", f"{path}?{field}={written}{other}")
        assert asked.status == 200 or asked.error["details"][0]["type"] == "range", asked.body
        if asked.status == 200:
            assert asked.json[field].startswith(start)
    refused = api.call("GET", f"{path}?{field}=yesterday")
    assert (refused.status, refused.fields) == (400, [field])


@pytest.mark.req("FACTORY-07")
def test_time_zones_are_those_of_the_package_on_every_host(
    start_api: Callable[..., ApiServer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A system with one additional zone and none of the others makes no difference."""
    system = tmp_path_factory.mktemp("zoneinfo")
    (system / "Mars").mkdir()
    (system / "Mars" / "Olympus").write_bytes(b"TZif2".ljust(44, b"\0"))
    api = start_api(PYTHONTZPATH=str(system))
    assert api.call("POST", "/api/factories", {"name": "x", "timezone": "Mars/Olympus"}).fields == [
        "timezone"
    ]
    assert {"UTC", "Europe/Berlin", "America/Nuuk", "US/Pacific", "Etc/GMT+5"} <= TIMEZONES
    assert not {"localtime", "posix/UTC", "Factory/None", ""} & TIMEZONES
    for name in ("Europe/Berlin", "America/Argentina/ComodRivadavia"):
        assert api.factory(timezone=name)["timezone"] == name
