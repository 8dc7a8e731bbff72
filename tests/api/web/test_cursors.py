"""A cursor is untrusted input: any modification is answered with 200 or 400."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.schemas.cursors import Cursor, EventCursor, encode_cursor, scope_of, stream_digest
from service.database.views.event_stream import StreamPosition
from tests.support.api_server import ApiServer

# The scope in each list's cursor for these requests.
OF_ALL: dict[str, tuple[str, dict[str, object]]] = {
    "/api/status/summary": ("summary", {}),
    "/api/workers": ("workers", {}),
    **{
        f"/api/{kind}?sort={sort}": (kind, {"sort": sort})
        for kind, sorts in (
            ("factories", ("name", "-name", "created_at", "-created_at")),
            ("gateways", ("name", "-created_at", "created_at", "last_seen_at", "-last_seen_at")),
            ("gateways", ("state_since", "-state_since")),
        )
        for sort in sorts
    },
    "/api/gateways?q=x&state=unknown&sort=created_at": (
        "gateways", {"q": "x", "state": ("unknown",), "sort": "created_at"},
    ),
}  # fmt: skip
OFFSETS = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DATES = st.sampled_from(["0000-01-01", "0001-01-01", "9999-12-31", "2026-02-30", "2026-W01-1", "20260101"])
CLOCKS = st.sampled_from(["00:00:00", "000000", "24:00:00", "23:59:60", "12:00", "12", "00:00:00,5"])
ZONES = st.sampled_from(["Z", "z", "+00:00", "-00:00", "+23:59", "-23:59:59", "+00:00:00.000001", "UTC", ""])
KEYS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.sampled_from(["infinity", "-infinity", "epoch", "now", "today", "NaN", "-1", "0", "9" * 18, "9" * 19]),
    st.tuples(DATES, st.sampled_from("Tt "), CLOCKS, ZONES).map("".join),
    st.datetimes(timezones=OFFSETS).map(datetime.isoformat),
    st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat().replace("+00:00", "Z")),
)
ANY_FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def answered(api: ApiServer, path: str, cursor: str, name: str = "cursor") -> Any:
    """Return the status; assert that it is one of the two."""
    sign = "&" if "?" in path else "?"
    reply = api.call("GET", f"{path}{sign}{name}={cursor}")
    assert reply.status == 200 or (reply.status, reply.fields) == (400, [name]), (cursor, reply.body)
    return reply.status


@pytest.mark.req("API-05")
@pytest.mark.parametrize("path", OF_ALL)
@ANY_FEW
@given(key=KEYS, row_id=st.uuids())
def test_any_key_in_a_cursor_is_accepted_or_rejected(
    api: ApiServer, path: str, key: str, row_id: UUID
) -> None:
    kind, asked = OF_ALL[path]
    answered(api, path, encode_cursor(Cursor(scope_of(kind, asked), row_id, key)))


@pytest.mark.req("API-05")
@ANY_FEW
@given(key=KEYS, junk=st.binary(max_size=60))
def test_any_cursor_of_events_is_accepted_or_rejected(api: ApiServer, key: str, junk: bytes) -> None:
    gateways = api.call("GET", "/api/gateways").json["data"]
    gateway_id = (gateways[0] if gateways else api.gateway(api.factory()["id"]))["id"]
    path = f"/api/gateways/{gateway_id}/events"
    scope = scope_of("events", {"gateway_id": UUID(gateway_id)})
    answered(api, path, encode_cursor(Cursor(scope, UUID(gateway_id), key)))
    for each in (path, "/api/gateways", "/api/events"):
        name = "after" if each == "/api/events" else "cursor"
        answered(api, each, base64.urlsafe_b64encode(junk).rstrip(b"=").decode(), name)


@pytest.mark.req("API-05")
@ANY_FEW
@given(xid=st.integers(0, 2**64 - 1), event_id=st.integers(0, 2**64 - 1))
def test_any_position_in_the_stream_is_accepted_or_rejected(api: ApiServer, xid: int, event_id: int) -> None:
    begun = api.call("GET", "/api/events").json["cursor"]
    stream = base64.urlsafe_b64decode(begun + "=" * (-len(begun) % 4))[8:16]
    assert len(stream) == len(stream_digest("x"))
    cursor = EventCursor(scope_of("event stream", {}), stream, StreamPosition(xid, event_id)).encode()
    reply = api.call("GET", f"/api/events?after={cursor}")
    assert reply.status in {200, 400, 410}, (cursor, reply.body)


@pytest.mark.parametrize(
    "key",
    [
        "2026-W01-1T00:00:00+00:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "20260101T000000Z",
    ],
)
def test_a_time_that_only_python_reads_is_rejected(api: ApiServer, key: str) -> None:
    for path in ("/api/gateways?sort=created_at", "/api/gateways?sort=last_seen_at"):
        kind, asked = "gateways", {"sort": path.partition("sort=")[2]}
        assert answered(api, path, encode_cursor(Cursor(scope_of(kind, asked), UUID(int=1), key))) == 400
