"""Lists: filters, every order, pages and cursors."""

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import psycopg
import pytest

from tests.support.api.reports import observe, worker
from tests.support.api_server import ApiServer

STATES = ("connected", "retrying", "auth_failed", "disconnecting", "connecting", "authenticating")
SORTS = ("name", "-name", "created_at", "-created_at", "last_seen_at", "-last_seen_at")
REPORTED = (*STATES, "disconnected", "unknown")


def listed(api: ApiServer, path: str) -> list[dict[str, Any]]:
    """Return all rows of a list; assert that the total is their number."""
    reply = api.call("GET", path)
    assert reply.status == 200, reply.body
    data: list[dict[str, Any]] = reply.json["data"]
    assert reply.json["pagination"]["total"] == len(data)
    return data


def with_times(value: Any) -> Any:
    """Fields in their order, and times as times: zeros at the end of a fraction say nothing."""
    if isinstance(value, dict):
        return [(name, with_times(part)) for name, part in value.items()]
    is_time = isinstance(value, str) and value.endswith("Z")
    return datetime.fromisoformat(value) if is_time else value


def names(api: ApiServer, query: str, kind: str = "gateways") -> list[str]:
    """Return the names in a list."""
    return [row["name"] for row in listed(api, f"/api/{kind}?{query}")]


@pytest.fixture
def sessions(api: ApiServer) -> Iterator[ExitStack]:
    """Yield a stack that holds workers' sessions open."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.req("STATUS-01")
def test_a_list_by_state_equals_the_statuses(
    api: ApiServer, database: psycopg.Connection, sessions: ExitStack
) -> None:
    factory_id = api.factory()["id"]
    live, lost = worker(api, sessions, "60 s"), worker(api, sessions, "-1 s")
    for number, state in enumerate((*STATES, "disconnected")):
        for word, holder in (("live", live), ("lost", lost)):
            made = api.gateway(factory_id, f"{word}-{number}", name=f"{word} {state}")
            observe(database, made, holder, state)
    api.gateway(factory_id, "never", name="never")
    observe(database, api.gateway(factory_id, "freed", name="freed"), None, "disconnected")
    everything = listed(api, "/api/gateways?limit=100")
    shown = {
        row["id"]: api.call("GET", f"/api/gateways/{row['id']}/status").json["state"] for row in everything
    }
    found = {}
    for state in (*STATES, "disconnected", "unknown"):
        for row in listed(api, f"/api/gateways?state={state}&limit=100"):
            found[row["id"]] = state
    assert found == shown
    assert set(names(api, "state=disconnected")) == {"freed", "live disconnected", "never"}
    assert len(names(api, "state=unknown")) == len(STATES) + 1
    assert names(api, "state=retrying") == ["live retrying"]
    # Several: all that are in any of them, whichever of them are stored and which computed.
    for some in (
        ("retrying", "unknown"),
        ("disconnected", "connected"),
        ("unknown", "disconnected"),
        REPORTED,
    ):
        rows = listed(api, f"/api/gateways?state={','.join(some)}&limit=100")
        assert {row["id"] for row in rows} == {row_id for row_id, state in shown.items() if state in some}


def test_a_list_with_status_tells_what_each_status_tells(
    api: ApiServer, database: psycopg.Connection, sessions: ExitStack
) -> None:
    factory_id = api.factory()["id"]
    live, lost = worker(api, sessions, "60 s"), worker(api, sessions, "-1 s")
    for number, (holder, state) in enumerate(
        ((live, "connected"), (live, "retrying"), (lost, "connected"), (None, "disconnected"))
    ):
        observe(database, api.gateway(factory_id, f"CTC-{number}"), holder, state)
    api.gateway(factory_id, "never")
    database.execute(
        "UPDATE gateway_connections SET reason_code = v.code, reason_message = 'Because.',"
        " reason_phase = 'tcp', reason_retryable = false, reason_at = now(), last_message_at = now()"
        " FROM (VALUES ('retrying', 'connection_refused'), ('connected', 'of_a_later_version')) "
        " AS v (state, code) WHERE v.state = gateway_connections.state"
    )
    bare = listed(api, "/api/gateways?limit=100")
    rows = listed(api, "/api/gateways?limit=100&include=status")
    reasons = set()
    for row in rows:
        status = row.pop("status")
        alone = api.call("GET", f"/api/gateways/{row['id']}/status").json
        assert datetime.fromisoformat(status.pop("as_of")) < datetime.fromisoformat(alone.pop("as_of"))
        assert with_times(status) == with_times(alone)
        reasons.add(status["reason"] and status["reason"]["code"])
    assert reasons == {"connection_refused", "of_a_later_version", "no_worker", "worker_lost"}
    assert rows == bare


def test_with_status_a_list_is_the_same_list(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    made = [api.gateway(factory_id, f"CTC-{number}") for number in range(3)]
    first = api.call("GET", "/api/gateways?limit=2&include=status").json
    cursor = first["pagination"]["next_cursor"]
    second = api.call("GET", f"/api/gateways?limit=2&cursor={cursor}").json
    assert {row["id"] for row in first["data"] + second["data"]} == {gateway["id"] for gateway in made}
    # What was read may be sent back, and is not changed by it.
    row = first["data"][0]
    changed = api.call("PUT", f"/api/gateways/{row['id']}", row | {"name": "New"})
    assert (changed.status, changed.json["name"]) == (200, "New")
    api.call("DELETE", f"/api/gateways/{row['id']}")
    (gone,) = listed(api, "/api/gateways?deleted=only&include=status")
    assert gone["status"] is None, "what is deleted has none"
    assert api.call("GET", "/api/gateways?include=everything").fields == ["include"]


@pytest.mark.parametrize("sort", ["state_since", "-state_since"])
def test_gateways_are_ordered_by_how_long_they_have_been_in_their_state(
    api: ApiServer, database: psycopg.Connection, sessions: ExitStack, sort: str
) -> None:
    factory_id = api.factory()["id"]
    live, lost = worker(api, sessions, "60 s"), worker(api, sessions, "-1 s")
    for number, (holder, state) in enumerate(
        (
            (live, "connected"), (lost, "connected"), (live, "retrying"), (lost, "retrying"),
            (None, "disconnected"), (live, "auth_failed"), (live, "retrying"),
        )
    ):  # fmt: skip
        observe(database, api.gateway(factory_id, f"CTC-{number}"), holder, state)
        database.execute(
            "UPDATE gateway_connections SET state_since = now() - %s * interval '1 min' WHERE gateway_id ="
            " (SELECT id FROM gateways WHERE device_id = %s)",
            [number * 7 % 5, f"CTC-{number}"],
        )
    database.execute("UPDATE workers SET heartbeat_at = now() - interval '150 s' WHERE id = %s", [lost[0]])
    for number in range(2):
        api.gateway(factory_id, f"NEVER-{number}")
    for which in ("", "&state=retrying,unknown,disconnected"):
        rows = listed(api, f"/api/gateways?limit=100&include=status{which}")
        since = {row["id"]: row["status"]["state_since"] for row in rows}
        expected = sorted(since, key=lambda row_id: (since[row_id], row_id), reverse=sort.startswith("-"))
        walked, cursor = [], ""
        while cursor is not None:
            page = api.call("GET", f"/api/gateways?limit=2&sort={sort}{which}{cursor}").json
            walked += [row["id"] for row in page["data"]]
            next_cursor = page["pagination"]["next_cursor"]
            cursor = next_cursor and f"&cursor={next_cursor}"
        assert walked == expected
        by_offset = listed(api, f"/api/gateways?limit=100&sort={sort}{which}&offset=0")
        assert [row["id"] for row in by_offset] == expected
        skipped = api.call("GET", f"/api/gateways?limit=100&sort={sort}{which}&offset=2").json["data"]
        assert [row["id"] for row in skipped] == expected[2:]


def test_filters_are_combined_with_and(api: ApiServer) -> None:
    mill, plant = api.factory(name="Mill")["id"], api.factory(name="Plant")["id"]
    api.gateway(mill, "CTC-1", name="Press")
    off = api.gateway(mill, "CTC-2", name="press 2")
    api.gateway(plant, "XPRESSO", name="Dryer")
    api.call("POST", f"/api/gateways/{off['id']}/disconnect")
    assert names(api, "q=press") == ["Dryer", "Press", "press 2"]
    assert names(api, "q=PRESS&sort=-name") == ["press 2", "Press", "Dryer"]
    assert names(api, f"q=press&factory_id={mill}") == ["Press", "press 2"]
    assert names(api, f"q=press&factory_id={mill}&desired_state=disconnected") == ["press 2"]
    assert names(api, f"q=press&factory_id={mill}&desired_state=connected") == ["Press"]
    assert names(api, f"factory_id={mill}&state=connected") == []
    assert names(api, "q=mIl", "factories") == ["Mill"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("50%25", ["50% mix"]),
        ("_", ["a_b"]),
        ("%5C", ["back\\slash"]),
        ("%C3%84", ["Ähre", "ähre"]),
        ("%20", ["50% mix"]),
        ("x", ["50% mix"]),
        ("'", []),
        ("%25%25", []),
    ],
)
def test_a_search_text_is_taken_literally(api: ApiServer, word: str, found: list[str]) -> None:
    factory_id = api.factory()["id"]
    for number, name in enumerate(("50% mix", "a_b", "back\\slash", "Ähre", "ähre")):
        api.gateway(factory_id, f"CTC-{number}", name=name)
        api.factory(name=name)
    assert sorted(names(api, f"q={word}")) == found
    assert sorted(names(api, f"q={word}", "factories")) == found


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_is_walked_by_cursor_and_by_offset(
    api: ApiServer, database: psycopg.Connection, sort: str
) -> None:
    factory_id = api.factory()["id"]
    made = [api.gateway(factory_id, f"CTC-{n}", name=f"n{n * 5 % 3}") for n in range(11)]
    database.execute(
        "UPDATE gateways SET created_at = date_trunc('day', now()) - interval '1 day' * ascii(name)"
    )
    for number, gateway in enumerate(made[:8]):
        database.execute(
            "INSERT INTO gateway_connections (gateway_id, last_seen_at)"
            " VALUES (%s, CASE WHEN %s > 1 THEN now() - %s * interval '1 s' END)",
            [gateway["id"], number, number // 2],
        )
    rows = listed(api, "/api/gateways?limit=100")
    column = sort.removeprefix("-")
    expected = sorted(rows, key=lambda row: (row[column] or "", row["id"]), reverse=sort.startswith("-"))
    assert listed(api, f"/api/gateways?limit=100&sort={sort}") == expected
    walked, page = [], api.call("GET", f"/api/gateways?limit=3&sort={sort}").json
    walked += page["data"]
    while cursor := page["pagination"]["next_cursor"]:
        page = api.call("GET", f"/api/gateways?limit=3&sort={sort}&cursor={cursor}").json
        assert page["pagination"]["total"] == 11
        walked += page["data"]
    assert walked == expected
    by_offset = [
        row
        for offset in range(0, 12, 3)
        for row in api.call("GET", f"/api/gateways?limit=3&sort={sort}&offset={offset}").json["data"]
    ]
    assert by_offset == expected


@pytest.mark.parametrize("sort", ["name", "-name", "created_at", "-created_at"])
def test_factories_are_ordered_in_the_same_ways(api: ApiServer, sort: str) -> None:
    rows = [api.factory(name=name) for name in ("b", "a", "c", "a")]
    column = sort.removeprefix("-")
    expected = sorted(rows, key=lambda row: (row[column], row["id"]), reverse=sort.startswith("-"))
    page = api.call("GET", f"/api/factories?limit=2&sort={sort}").json
    cursor = page["pagination"]["next_cursor"]
    rest = api.call("GET", f"/api/factories?limit=2&sort={sort}&cursor={cursor}").json
    assert page["data"] + rest["data"] == expected


@pytest.mark.req("GATEWAY-02", "API-05")
def test_a_cursor_of_another_list_order_or_filter_is_rejected(api: ApiServer) -> None:
    factory = api.factory()
    for number in range(3):
        api.gateway(factory["id"], f"CTC-{number}")
        api.factory()
    asked = (
        "/api/gateways?limit=1",
        "/api/gateways?limit=1&sort=-name",
        "/api/gateways?limit=1&sort=created_at",
        "/api/gateways?limit=1&sort=last_seen_at",
        "/api/gateways?limit=1&sort=state_since",
        "/api/gateways?limit=1&state=disconnected",
        "/api/gateways?limit=1&state=disconnected,unknown",
        "/api/gateways?limit=1&q=c",
        "/api/gateways?limit=1&q=ct",
        "/api/gateways?limit=1&desired_state=connected",
        f"/api/gateways?limit=1&factory_id={factory['id']}",
        "/api/factories?limit=1",
        "/api/factories?limit=1&sort=-created_at",
        "/api/status/summary?limit=1",
    )
    cursors = [api.call("GET", path).json["pagination"]["next_cursor"] for path in asked]
    assert len(set(cursors)) == len(asked)
    for made_by, cursor in zip(asked, cursors, strict=True):
        for path in asked:
            reply = api.call("GET", f"{path}&cursor={cursor}")
            if path == made_by:
                assert reply.status == 200
            else:
                assert (reply.status, reply.fields) == (400, ["cursor"]), (made_by, path)
    assert api.call("GET", f"/api/gateways?limit=2&cursor={cursors[0]}").status == 200, (
        "another limit is fine"
    )
    both = api.call("GET", f"{asked[0]}&offset=0&cursor={cursors[0]}")
    assert (both.status, both.fields) == (400, ["query"])
    # A key that is no time, with the digest of a list ordered by time.
    forged = api.call("GET", f"{asked[2]}&cursor={forge(cursors[2], b'tomorrow')}")
    assert (forged.status, forged.fields) == (400, ["cursor"])
    assert api.call("GET", f"{asked[2]}&cursor={forge(cursors[2], b'infinity')}").status == 400
    assert api.call("GET", f"{asked[2]}&cursor={forge(cursors[2], b'2026-01-01T00:00:00')}").status == 400
    assert api.call("GET", f"{asked[0]}&cursor={forge(cursors[0], b'a' + bytes(1))}").status == 400


def forge(cursor: str, key: bytes) -> str:
    """Return the same cursor with another key."""
    decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return base64.urlsafe_b64encode(decoded[:24] + key).rstrip(b"=").decode()


@pytest.mark.req("GATEWAY-02", "API-05")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=", "state"),
        ("state=up", "state"),
        ("state=connected&state=retrying", "state"),
        ("state=connected,", "state"),
        ("state=,", "state"),
        ("state=connected,up", "state"),
        ("state=connected,%20retrying", "state"),
        ("sort=since", "sort"),
        ("include=", "include"),
        ("desired_state=unknown", "desired_state"),
        ("factory_id=x", "factory_id"),
        ("q=", "q"),
        ("q=" + "x" * 101, "q"),
        ("q=%00", "q"),
        ("sort=updated_at", "sort"),
        ("sort=--name", "sort"),
        ("sort=", "sort"),
        ("deleted=", "deleted"),
        ("deleted=ONLY", "deleted"),
        ("order=name", "order"),
        ("sort=x&cursor=AAAA", "sort,cursor"),
    ],
)
def test_an_invalid_filter_is_rejected(api: ApiServer, query: str, field: str) -> None:
    reply = api.call("GET", f"/api/gateways?{query}")
    assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", field.split(","))
