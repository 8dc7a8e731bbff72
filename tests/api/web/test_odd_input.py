"""Any input to any write is accepted or rejected with an error in the usual format; nothing crashes."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import MODULE_API
from tests.support.api_server import REQUEST_LIMIT_S, ApiServer, gateway_body

JSON = {"Content-Type": "application/json"}
NOBODY = "00000000-0000-7000-8000-00000000dead"
ODD_CHARACTERS = (
    '\0\x01\n\x7f\x85\xa0\xad\u0301\u0958\u200b\u2028\ufeff\uffff\ud800\udfff\U0001f511\U000e0041a"\\/=;,'
)
LENGTHS = (0, 1, 99, 100, 101, 200, 201, 320, 321, 500, 501, 1024, 1025, 2000, 2001, 65_536, 200_000)
TEXTS = st.text(ODD_CHARACTERS, max_size=8) | st.text(max_size=8)
LONG = st.builds(
    lambda text, length: text * length, st.sampled_from("aé\u0301\U0001f511"), st.sampled_from(LENGTHS)
)
NEAR = st.builds(
    lambda start, text: start + text,
    st.sampled_from(["ws://", "WSS://h", "ws://[::", "a@", "Europe/", "2026-01-01T00:00:00", NOBODY, "="]),
    TEXTS,
)
# As raw text, which Python would not write.
RAW = st.sampled_from(
    [
        "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "-0", "-0.0", "1E5", "+1", ".5", "1.",
        "9223372036854775808", "-9223372036854775809", "1" + "0" * 4299, "1" + "0" * 5000, "0." + "1" * 5000,
        '"\\ud800"', '"\\ud83d\\ud83d"', '"\\u0000"', '"\\x41"', '"\t"', "'a'", '{"a":1,"a":2}', "{,}",
        "[1,]", "", "[" * 20 + "]" * 20, '{"a":' * 17 + "1" + "}" * 17, "[" * 250 + "]" * 250, "[" * 100_000,
        "true", "nul", "/* */ 1", "[" + "1e-300," * 9000 + "1]", '{"":' + '{"":[]}' + "}",
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | LONG | NEAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)


class Fragment(str):
    """A value as raw text, shortened in repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = super().__repr__()
        return shown if len(shown) < 200 else f"{shown[:80]}… of {len(self)} characters"


FRAGMENTS = st.one_of(
    RAW, VALUES.map(json.dumps), VALUES.map(lambda value: json.dumps(value, ensure_ascii=False))
).map(Fragment)
NAMES = [
    "name", "location", "timezone", "metadata", "organization_id", "factory_id", "gateway_id", "url", "email",
    "password", "model", "firmware_version", "id", "desired_state", "generation", "updated_at", "deleted_at",
    "state", "all", "unknown", "", "\0",
]  # fmt: skip
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), FRAGMENTS), max_size=4)
AROUND = st.sampled_from(
    [("", ""), ("\ufeff", ""), (" \n", "\n"), ("[", "]"), ("", "x"), ("", "{}"), ("\0", "")]
)
ENCODINGS = st.sampled_from(["utf-8"] * 8 + ["utf-16", "utf-16-be", "utf-32", "cp1252"])
TYPES = st.sampled_from(
    ["application/json"] * 8
    + [
        "application/json; charset=\xff",
        "application/json;=;",
        "text/csv",
        "",
        "a/b+json",
        "application/x+json",
    ]
)
WRITES = [
    ("POST", "/api/factories"), ("PUT", "/api/factories/{factory}"), ("PATCH", "/api/factories/{factory}"),
    ("POST", "/api/factories/{factory}/restore"), ("POST", "/api/gateways"),
    ("PUT", "/api/gateways/{gateway}"), ("PATCH", "/api/gateways/{gateway}"),
    ("POST", "/api/gateways/{gateway}/restore"), ("POST", "/api/gateways/{gateway}/connect"),
    ("POST", "/api/gateways/{gateway}/disconnect"),
    ("POST", "/api/gateways/connect"), ("POST", "/api/gateways/disconnect"),
    ("DELETE", "/api/factories/" + NOBODY), ("DELETE", "/api/gateways/" + NOBODY),
]  # fmt: skip
READS = [
    ("/api/factories", ["limit", "offset", "cursor", "q", "sort", "deleted"]),
    ("/api/gateways", ["limit", "cursor", "q", "sort", "state", "desired_state", "factory_id"]),
    ("/api/events", ["after", "limit", "factory_id"]),
    ("/api/gateways/{gateway}/availability", ["from", "to"]),
    ("/api/gateways/{gateway}/events", ["limit", "cursor"]),
    ("/api/status/summary", ["limit", "offset", "cursor"]),
]
MANY = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


class Target:
    """A server with a factory and a gateway, and a keep-alive connection."""

    def __init__(self, api: ApiServer) -> None:
        self.factory = api.factory()["id"]
        self.gateway = api.gateway(self.factory, "CTC-odd")["id"]
        self.connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=REQUEST_LIMIT_S)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> int:
        """Send a request; return its status, asserting the error format and no server error."""
        path = path.format(factory=self.factory, gateway=self.gateway)
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        assert response.status < 500, (response.status, answer)
        if response.status >= 400:
            error = json.loads(answer)["error"]
            assert set(error) == {"code", "message", "details", "request_id"}
            assert error["details"] or error["code"] not in {"VALIDATION_ERROR", "INVALID_JSON"}
        return response.status


@pytest.fixture(scope="module")
def target(module_api: MODULE_API) -> Iterator[Target]:
    """Yield the target of all examples of the module."""
    target = Target(module_api[0])
    with closing(target.connection):
        yield target


def written(fields: dict[str, str], changes: list[tuple[str, str]], around: tuple[str, str]) -> str:
    """Generate an object as text with odd values and duplicate names."""
    kept = [(name, value) for name, value in fields.items() if name not in dict(changes)]
    pairs = [f"{json.dumps(name)}: {value}" for name, value in (*kept, *changes)]
    return around[0] + "{" + ", ".join(pairs) + "}" + around[1]


def encoded(text: str, encoding: str) -> bytes:
    """Encode a text, lone surrogates included."""
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


@pytest.mark.req("API-05", "API-06")
@pytest.mark.parametrize(("method", "path"), WRITES)
@MANY
@given(CHANGES, AROUND, ENCODINGS, TYPES, st.booleans())
def test_odd_json_is_accepted_or_rejected(
    target: Target,
    method: str,
    path: str,
    changes: list[tuple[str, str]],
    around: tuple[str, str],
    encoding: str,
    kind: str,
    is_whole: bool,
) -> None:
    valid = {"name": "x"} if "factories" in path else gateway_body(target.factory, "CTC-odd")
    fields = {name: json.dumps(value) for name, value in valid.items()} if is_whole else {}
    body = encoded(written(fields, changes, around), encoding)
    assert target.send(method, path, body, {"Content-Type": kind}) < 500


@pytest.mark.req("API-05", "API-06")
@pytest.mark.parametrize("path", ["/api/gateways/test", "/api/gateways/{gateway}/test"])
@MANY
@given(CHANGES, AROUND)
def test_odd_logins_are_rejected_before_they_are_tested(
    target: Target, path: str, changes: list[tuple[str, str]], around: tuple[str, str]
) -> None:
    body = encoded(written({}, [*changes, ("never", "0")], around), "utf-8")
    assert target.send("POST", path, body, JSON) in {400, 413}


@pytest.mark.req("API-05", "API-06")
@MANY
@given(
    st.lists(st.lists(TEXTS | NEAR | st.sampled_from(["", "x", NOBODY]), max_size=8), max_size=5),
    st.sampled_from([",", ";", "\t", "|", "\r", "\0"]),
    st.sampled_from(["", "sep=;\n", 'sep="\n', "\ufeff", "\x00", "\n;;;\n"]),
    ENCODINGS,
    st.sampled_from(
        ["text/csv", "text/csv; charset=utf-16", "text/csv; charset=cp1252", "application/jsonl"]
    ),
    st.booleans(),
)
def test_odd_files_are_rejected(
    target: Target,
    table: list[list[str]],
    separator: str,
    start: str,
    encoding: str,
    kind: str,
    has_header: bool,
) -> None:
    header = (
        [["factory_id", "gateway_id", "name", "url", "email", "password", "metadata"]] if has_header else []
    )
    text = start + "\n".join(separator.join(row) for row in [*header, *table])
    status = target.send("POST", "/api/gateways/import", encoded(text, encoding), {"Content-Type": kind})
    assert status in {400, 413}


@pytest.mark.req("API-05", "API-06")
@pytest.mark.parametrize(("path", "names"), READS)
@MANY
@given(st.data())
def test_odd_queries_are_rejected(target: Target, path: str, names: list[str], data: st.DataObject) -> None:
    asked = data.draw(st.dictionaries(st.sampled_from([*names, "odd\0"]), TEXTS | NEAR, max_size=3))
    query = "&".join(f"{quote(name)}={quote(encoded(value, 'utf-8'))}" for name, value in asked.items())
    assert target.send("GET", f"{path}?{query}", None, {}) < 500


@pytest.mark.req("API-05", "API-06")
@pytest.mark.parametrize(
    "name", ["If-Match", "If-None-Match", "Accept", "Content-Encoding", "Accept-Encoding"]
)
@MANY
@given(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30))
def test_odd_headers_are_accepted_or_rejected(target: Target, name: str, value: str) -> None:
    target.send("GET", "/api/factories/{factory}", None, {name: value})
    target.send("PATCH", "/api/factories/{factory}", b'{"name": "y"}', {**JSON, name: value})
