"""A gateway's history over HTTP. Its calculation is tested in tests/database/test_availability.py."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.database.engine.pool import ConnectionExecutor
from service.database.observed.connections import ConnectionRepository
from service.database.observed.reports import ConnectionReport, TransitionReport
from service.database.observed.workers import WorkerRepository
from service.database.views.history import STEPS_A_PAGE
from service.gateway_states import ACTIONS, ReasonCode
from tests.support.api.history import created_ago, record
from tests.support.api.reports import worker
from tests.support.api_server import ApiServer
from tests.support.waiting import wait_until

LEASE_S = 0.5
NOBODY = "00000000-0000-7000-8000-00000000dead"
EVENT_FIELDS = {"id", "at", "from_state", "to_state", "reason", "attempt", "generation", "worker_id"}
AVAILABILITY_FIELDS = {
    "id", "from", "to", "known_from", "wanted_seconds", "connected_seconds", "down_seconds",
    "unknown_seconds", "availability", "outages", "as_of",
}  # fmt: skip
BUCKET_FIELDS = {
    "from", "connected_seconds", "down_seconds", "unknown_seconds", "unwanted_seconds", "unrecorded_seconds",
}  # fmt: skip


def availability(api: ApiServer, gateway: dict[str, Any], **query: str) -> dict[str, Any]:
    """The answer, which has to be there."""
    words = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in query.items())
    reply = api.call("GET", f"/api/gateways/{gateway['id']}/availability?{words}")
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    assert set(answer) == AVAILABILITY_FIELDS
    return answer


def test_transitions_are_listed_newest_first_in_pages(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    gateway, other = api.gateway(factory_id, "CTC-1"), api.gateway(factory_id, "CTC-2")
    states = ["connecting", "authenticating", "connected", "disconnecting", "disconnected"]
    record(database, gateway, [(9 - n, "unknown", state) for n, state in enumerate(states)])
    record(database, other, [(1, "connecting", "auth_failed")])
    path = f"/api/gateways/{gateway['id']}/events"
    page = api.call("GET", f"{path}?limit=2")
    assert page.status == 200
    assert set(page.json["data"][0]) == EVENT_FIELDS
    assert page.json["data"][0]["reason"] == {
        "code": "requested", "message": "Because.", "phase": "session",
        "action": ACTIONS[ReasonCode.REQUESTED],
    }  # fmt: skip
    told = [event["to_state"] for event in page.json["data"]]
    # New events do not shift the pages.
    record(database, gateway, [(0, "disconnected", "retrying")])
    while cursor := page.json["pagination"]["next_cursor"]:
        assert page.json["pagination"]["has_next"] is True
        page = api.call("GET", f"{path}?limit=2&cursor={cursor}")
        told += [event["to_state"] for event in page.json["data"]]
    assert told == states[::-1]
    assert page.json["pagination"] == {"limit": 2, "has_next": False, "next_cursor": None}
    newest = api.call("GET", path)
    assert newest.json["data"][0]["to_state"] == "retrying"
    assert api.call("GET", path, headers={"If-None-Match": newest.headers["ETag"]}).status == 304


@pytest.mark.req("API-05", "FACTORY-08")
def test_invalid_parameters_are_rejected(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    gateway, other = api.gateway(factory_id, "CTC-1"), api.gateway(factory_id, "CTC-2")
    for one in (gateway, other):
        record(database, one, [(2, "disconnected", "connecting"), (1, "connecting", "retrying")])
    path = f"/api/gateways/{gateway['id']}"
    foreign = api.call("GET", f"/api/gateways/{other['id']}/events?limit=1").json["pagination"]["next_cursor"]
    listed = api.call("GET", "/api/gateways?limit=1").json["pagination"]["next_cursor"]
    for query, field in (
        ("limit=0", "limit"), ("limit=101", "limit"), ("offset=0", "offset"), ("cursor=", "cursor"),
        (f"cursor={foreign}", "cursor"), (f"cursor={listed}", "cursor"), ("after=1", "after"),
    ):  # fmt: skip
        reply = api.call("GET", f"{path}/events?{query}")
        assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [field]), query
    now = datetime.now(UTC)
    soon, earlier = (
        (now + timedelta(hours=1)).strftime("%FT%TZ"),
        (now - timedelta(days=400)).strftime("%FT%TZ"),
    )
    for query, field in (
        ("from=", "from"), ("from=1700000000", "from"), ("from=2026-01-01", "from"),
        ("from=2026-01-01T00:00:00", "from"), ("from=2026-13-01T00:00:00Z", "from"),
        ("to=now", "to"), ("to=1999-01-01T00:00:00Z", "to"),
        ("from=0001-01-01T00:00:00Z", "from"), ("to=2026-01-01T00:00:00Z%00", "to"), (f"from={soon}", "from"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"), (f"from={earlier}", "from"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("start=2026-01-01T00:00:00Z", "start"), ("to=2026-01-01T00:00:00%2B99:99", "to"),
    ):  # fmt: skip
        reply = api.call("GET", f"{path}/availability?{query}")
        assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [field]), query


@pytest.mark.req("GATEWAY-05", "FACTORY-08")
@pytest.mark.parametrize("what", ["events", "availability"])
def test_an_unknown_gateway_has_no_history(api: ApiServer, what: str) -> None:
    gateway = api.gateway(api.factory()["id"])
    api.call("DELETE", f"/api/gateways/{gateway['id']}")
    for gateway_id in (gateway["id"], NOBODY):
        reply = api.call("GET", f"/api/gateways/{gateway_id}/{what}")
        assert (reply.status, reply.error["code"]) == (404, "GATEWAY_NOT_FOUND")
    assert api.call("GET", f"/api/gateways/5/{what}").fields == ["id"]
    assert api.call("POST", f"/api/gateways/{gateway['id']}/{what}").status == 405


def test_availability_is_connected_by_wanted_time(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    with database.transaction():
        created_ago(database, gateway, 1000)
        record(
            database,
            gateway,
            [
                (990, "disconnected", "connecting"), (980, "connecting", "authenticating"),
                (900, "authenticating", "connected"), (500, "connected", "retrying"),
                (480, "retrying", "connecting"), (400, "connecting", "connected"),
                (200, "connected", "unknown"), (190, "unknown", "disconnected"),
                (180, "disconnected", "connected"),
            ],
        )  # fmt: skip
    database.execute(
        "INSERT INTO gateway_connections (gateway_id, last_seen_at) VALUES (%s, now())", [gateway["id"]]
    )
    # Rows are written one after the other, so the intervals between them are slightly longer.
    answer = availability(api, gateway)
    assert answer["known_from"] == answer["from"], "it was created later, which is known, too"
    assert answer["wanted_seconds"] == pytest.approx(1000, abs=20)
    assert answer["down_seconds"] == pytest.approx(100 + 100 + 10, abs=1)
    assert answer["unknown_seconds"] == pytest.approx(10, abs=1)
    assert answer["connected_seconds"] == pytest.approx(answer["wanted_seconds"] - 220, abs=1)
    assert answer["availability"] == pytest.approx(answer["connected_seconds"] / answer["wanted_seconds"])
    outages = answer["outages"]
    assert outages["count"] == 3
    assert outages["seconds"] == answer["down_seconds"]
    assert outages["longest_seconds"] == pytest.approx(100, abs=1)
    asked = datetime.fromisoformat(answer["as_of"])
    part = availability(
        api,
        gateway,
        **{
            "from": (asked - timedelta(seconds=450)).isoformat(),
            "to": (asked - timedelta(seconds=300)).isoformat(),
        },
    )
    assert part["wanted_seconds"] == 150
    assert part["connected_seconds"] == pytest.approx(100, abs=20)
    future = availability(api, gateway, to=(asked + timedelta(days=1)).isoformat())
    assert future["to"] == future["as_of"], "the future does not count"


def test_availability_in_buckets(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    created_ago(database, gateway, 1000)
    flaps = [
        (900.0 - n, *(("retrying", "connected") if n % 2 else ("connected", "retrying"))) for n in range(500)
    ]
    record(database, gateway, [(950, "disconnected", "connected"), *flaps])
    path = f"/api/gateways/{gateway['id']}/availability"
    one, many = (api.call("GET", f"{path}?buckets={count}") for count in (1, 200))
    for reply, count in ((one, 1), (many, 200)):
        answer = reply.json
        assert (reply.status, set(answer)) == (200, AVAILABILITY_FIELDS | {"buckets"})
        assert len(answer["buckets"]) == count
        length = 86_400 / count
        for bucket in answer["buckets"]:
            assert set(bucket) == BUCKET_FIELDS
            assert sum(bucket[name] for name in BUCKET_FIELDS - {"from"}) == pytest.approx(length, abs=1e-3)
        for kind in ("connected", "down", "unknown"):
            total = sum(bucket[f"{kind}_seconds"] for bucket in answer["buckets"])
            assert total == pytest.approx(answer[f"{kind}_seconds"], abs=1e-3)
        assert answer["buckets"][0]["from"] == answer["from"]
        assert answer["outages"]["count"] == 251
    database.execute("UPDATE event_pruning SET events_pruned_until = now() - interval '12 hours'")
    database.execute("UPDATE gateways SET created_at = now() - interval '13 hours'")
    half = api.call("GET", f"{path}?buckets=2").json
    assert sum(bucket["unrecorded_seconds"] for bucket in half["buckets"]) == pytest.approx(
        (datetime.fromisoformat(half["known_from"]) - datetime.fromisoformat(half["from"])).total_seconds(),
        abs=1e-3,
    )
    for text in ("0", "201", "x", "", "1.5", "-1"):
        assert api.call("GET", f"{path}?buckets={text}").fields == ["buckets"]


def test_more_transitions_than_a_statement_reads_are_added_up_alike(
    api: ApiServer, database: psycopg.Connection
) -> None:
    gateway = api.gateway(api.factory()["id"])
    created_ago(database, gateway, 80_000)
    # Down for 3 s, up for 7 s.
    flaps = 3 * STEPS_A_PAGE
    database.execute(
        "INSERT INTO gateway_events (gateway_id, at, from_state, to_state, attempt)"
        " SELECT %s, now() - (%s - n / 2 * 10 - n %% 2 * 3) * interval '1 s',"
        " (ARRAY['connected', 'retrying'])[n %% 2 + 1], (ARRAY['retrying', 'connected'])[n %% 2 + 1], 1"
        " FROM generate_series(0, %s) AS n",
        [gateway["id"], flaps * 10, 2 * flaps - 1],
    )
    asked = datetime.fromisoformat(availability(api, gateway)["as_of"])
    for pages, begin_s in ((3, flaps * 10), (1, STEPS_A_PAGE * 5)):
        begin, end = asked - timedelta(seconds=begin_s - 1000), asked - timedelta(seconds=500)
        part = availability(api, gateway, **{"from": begin.isoformat(), "to": end.isoformat()})
        length = begin_s - 1500
        assert part["wanted_seconds"] == length
        assert part["down_seconds"] == pytest.approx(length * 0.3, abs=4), pages
        assert part["outages"]["count"] == pytest.approx(length / 10, abs=1), pages
        assert part["unknown_seconds"] == 0


def test_only_wanted_time_counts(api: ApiServer) -> None:
    gateway = api.gateway(api.factory()["id"])
    assert api.call("POST", f"/api/gateways/{gateway['id']}/disconnect").status == 202
    first = availability(api, gateway)
    assert 0 < first["wanted_seconds"] == first["down_seconds"]
    again = availability(api, gateway)
    assert again["wanted_seconds"] == first["wanted_seconds"], "no longer wanted"
    api.call("DELETE", f"/api/gateways/{gateway['id']}")
    api.call("POST", f"/api/gateways/{gateway['id']}/restore")
    assert availability(api, gateway)["wanted_seconds"] == first["wanted_seconds"]
    api.call("POST", f"/api/gateways/{gateway['id']}/connect")
    assert availability(api, gateway)["wanted_seconds"] > first["wanted_seconds"]
    before = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    past = availability(
        api, gateway, **{"from": before, "to": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    )
    assert (past["wanted_seconds"], past["availability"], past["outages"]["count"]) == (0, None, 0)


def test_reports_of_a_lost_worker_do_not_count(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    created_ago(database, gateway, 1000)
    record(database, gateway, [(900, "disconnected", "connected")])
    with ExitStack() as sessions:
        holder = worker(api, sessions, "60 s")
        database.execute(
            "INSERT INTO gateway_connections"
            " (gateway_id, worker_id, epoch, state, state_since, connected_since)"
            " VALUES (%s, %s, %s, 'connected', now() - interval '900 s', now() - interval '900 s')",
            [gateway["id"], *holder],
        )
        assert availability(api, gateway)["unknown_seconds"] == 0
        database.execute(
            "UPDATE workers SET lease_expires_at = now(), heartbeat_at = now() - interval '300 s'"
        )
        answer = availability(api, gateway)
    assert answer["unknown_seconds"] == pytest.approx(300, abs=20)
    assert answer["connected_seconds"] == pytest.approx(600, abs=20)
    assert answer["outages"]["count"] == 1, "the time before its first connection"


def test_pruned_events_are_reported_as_unknown(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    created_ago(database, gateway, 80_000)
    record(database, gateway, [(70_000, "disconnected", "connected"), (50_000, "connected", "retrying"),
                               (49_000, "retrying", "connected")])  # fmt: skip
    assert availability(api, gateway)["connected_seconds"] == pytest.approx(69_000, abs=20)
    database.execute("DELETE FROM gateway_events WHERE at < now() - interval '60000 s'")
    answer = availability(api, gateway)
    known_from, asked = (datetime.fromisoformat(answer[name]) for name in ("known_from", "as_of"))
    assert (asked - known_from).total_seconds() == pytest.approx(70_000, abs=20)
    assert answer["connected_seconds"] == pytest.approx(69_000, abs=20), (
        "the next transition shows the state before it"
    )
    database.execute("DELETE FROM gateway_events")
    answer = availability(api, gateway)
    assert datetime.fromisoformat(answer["known_from"]) > asked - timedelta(seconds=49_100)


@pytest.mark.req("STATUS-01", "LIFECYCLE-05")
def test_a_take_over_is_in_the_history_to_the_second(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    with ExitStack() as sessions:
        lost, taker = (
            ConnectionExecutor(sessions.enter_context(psycopg.connect(api.database_url, autocommit=True)))
            for _ in range(2)
        )
        hold(lost, gateway, LEASE_S)
        # It is not renewed, so it expires, and another worker takes over.
        wait_until(lambda: WorkerRepository(taker).reap(), 10, "the lease to expire")
        hold(taker, gateway, 60)
        answer = availability(api, gateway)
    told = api.call("GET", f"/api/gateways/{gateway['id']}/events").json["data"]
    assert [event["to_state"] for event in reversed(told)] == [
        "connecting", "connected", "unknown", "disconnected", "connecting", "connected",
    ]  # fmt: skip
    times = [datetime.fromisoformat(event["at"]) for event in reversed(told)]
    unknown_s = (times[3] - times[2]).total_seconds()
    assert unknown_s >= LEASE_S / 2
    assert answer["unknown_seconds"] == pytest.approx(unknown_s, abs=1e-5)
    known_away_s = (times[5] - times[3]).total_seconds()
    assert answer["outages"]["count"] == 2, "until it was first connected, and the take-over"
    assert answer["down_seconds"] >= known_away_s
    assert answer["wanted_seconds"] == pytest.approx(
        answer["connected_seconds"] + answer["down_seconds"] + unknown_s, abs=1e-5
    )


def hold(executor: ConnectionExecutor, gateway: dict[str, Any], lease_s: float) -> None:
    """Register a worker on this session that claims and connects the gateway."""
    me = WorkerRepository(executor).register("h", 1, "0", lease_s)
    connections = ConnectionRepository(executor, me)
    assert len(connections.claim(1)) == 1
    moves = [("disconnected", "connecting"), ("connecting", "connected")]
    gateway_id = UUID(gateway["id"])
    connections.record_transitions(
        [
            TransitionReport(
                gateway_id=gateway_id, from_state=before, to_state=after, attempt=1, generation=1
            )
            for before, after in moves
        ]
    )
    report = ConnectionReport(
        gateway_id=gateway_id, state="connected", connected_age_s=0.0, attempt=1, generation=1, connects=1
    )
    assert len(connections.report([report])) == 1
