"""Transitions as a stream: nothing missed, nothing twice, and nothing confirmed that nobody knows."""

import http.client
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres
from service import __version__
from service.database.engine.pool import ConnectionExecutor
from service.database.observed.workers import WorkerRepository
from tests.support.api.events import LIMIT_S, RECORD, STOP_S, happen, part
from tests.support.api.tokens import bearer, make_token, manage_tokens
from tests.support.api_server import STOP_LIMIT_S, ApiServer
from tests.support.event_stream import Event, EventSource
from tests.support.processes import frozen
from tests.support.waiting import wait_until

CROWD = 300
STORM = 4000
"""Transitions, of more bytes than the system keeps for a client."""
# The database's limit for a request, the look under way before it, and a busy machine.
SILENT_LIMIT_S = 20.0
STREAM = {"Accept": "text/event-stream"}


def follow(api: ApiServer, after: str | None = None, **headers: str) -> EventSource:
    """A stream."""
    return EventSource(api.port, "/api/events" + (f"?after={after}" if after else ""), **headers)


def transitions(stream: EventSource, count: int) -> list[Event]:
    """The next ones, heartbeats left out."""
    return [stream.until("transition") for _ in range(count)]


def reasons(events: list[Event]) -> list[str]:
    """The messages of their reasons."""
    return [event.data["reason"]["message"] for event in events]


def test_a_stream_says_what_a_poll_says_each_once_and_resumes(
    api: ApiServer, database: psycopg.Connection
) -> None:
    gateway = api.gateway(api.factory()["id"])
    cursor = part(api)["cursor"]
    happen(database, gateway, "s0", "s1")
    with follow(api, cursor) as stream:
        told = transitions(stream, 2)
        happen(database, gateway, "s2")
        told += transitions(stream, 1)
        confirmed = stream.until("heartbeat")
    assert reasons(told) == ["s0", "s1", "s2"]
    polled = part(api, cursor)["data"]
    assert [event.data for event in told] == polled
    happen(database, gateway, "s3")
    for seen, left in ((told[0], ["s1", "s2", "s3"]), (told[2], ["s3"]), (confirmed, ["s3"])):
        assert seen.id is not None
        # A browser that reconnects asks for the same URL again.
        for resumed in (follow(api, seen.id), follow(api, cursor, Last_Event_ID=seen.id)):
            with resumed:
                assert reasons(transitions(resumed, len(left))) == left
    assert [event["reason"]["message"] for event in part(api, told[1].id)["data"]] == ["s2", "s3"]


def test_heartbeats_say_as_of_when_and_who_is_there(api: ApiServer, database: psycopg.Connection) -> None:
    with follow(api) as stream:
        first, then = stream.until("heartbeat"), stream.until("heartbeat")
        assert set(first.data) == {"as_of", "version", "live_workers", "is_held_up"}
        assert (first.data["version"], first.data["live_workers"]) == (__version__, 0)
        apart = at(then) - at(first)
        assert timedelta(0) < apart
        (now,) = database.execute("SELECT now()").fetchone() or ()
        assert abs(at(then) - now) < timedelta(seconds=10)
        with psycopg.connect(api.database_url, autocommit=True) as worker:
            WorkerRepository(ConnectionExecutor(worker)).register("here", 1, "0", lease_s=60)
            assert wait_until(lambda: stream.until("heartbeat").data["live_workers"], LIMIT_S) == 1
        # Its session ended, and nobody has noticed yet.
        wait_until(lambda: stream.until("heartbeat").data["live_workers"] == 0, LIMIT_S)


def at(heartbeat: Event) -> datetime:
    """As of when."""
    return datetime.fromisoformat(heartbeat.data["as_of"]).astimezone(UTC)


def test_a_heartbeat_says_that_a_transition_is_held_up(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    with follow(api) as stream, psycopg.connect(api.database_url) as early:
        early.execute("SELECT pg_current_xact_id()")
        happen(database, gateway, "held up")
        wait_until(lambda: stream.until("heartbeat").data["is_held_up"], LIMIT_S)
        early.commit()
        assert reasons(transitions(stream, 1)) == ["held up"]
        wait_until(lambda: not stream.until("heartbeat").data["is_held_up"], LIMIT_S)


def test_a_factory_is_streamed_alone(api: ApiServer, database: psycopg.Connection) -> None:
    here, there = (api.gateway(api.factory()["id"], name) for name in ("HERE", "THERE"))
    path = f"/api/events?factory_id={here['factory_id']}"
    with EventSource(api.port, path) as stream:
        stream.until("heartbeat")
        happen(database, there, "other")
        happen(database, here, "mine")
        assert reasons(transitions(stream, 1)) == ["mine"]
        cursor = stream.until("heartbeat").id
    refused = api.call("GET", f"/api/events?after={cursor}", headers=STREAM)
    assert (refused.status, refused.fields) == (400, ["after"])


def test_a_cursor_that_expired_is_told_in_the_stream(api: ApiServer, database: psycopg.Connection) -> None:
    """A browser that reconnects never sees a status."""
    gateway = api.gateway(api.factory()["id"])
    old = part(api)["cursor"]
    happen(database, gateway, "first", "second")
    wait_until(lambda: len(part(api, old)["data"]) == 2, LIMIT_S)
    database.execute("DELETE FROM gateway_events WHERE reason_message = 'first'")
    with follow(api, Last_Event_ID=old) as stream:
        reset = stream.until("reset")
        assert reset.data == {"code": "CURSOR_EXPIRED"}
        happen(database, gateway, "third")
        assert reasons(transitions(stream, 1))[-1] == "third"
    assert reset.id is not None
    with follow(api, Last_Event_ID=reset.id) as stream:
        assert reasons(transitions(stream, 1)) == ["third"]


@pytest.mark.parametrize("text", ["x", "ä", "a" * 200])
def test_a_wrong_last_event_id_is_refused(api: ApiServer, text: str) -> None:
    refused = api.call(
        "GET", "/api/events", headers={**STREAM, "Last-Event-ID": text.encode().decode("latin-1")}
    )
    assert (refused.status, refused.fields) == (400, ["Last-Event-ID"])


def test_only_who_asks_for_a_stream_gets_one(api: ApiServer) -> None:
    for accepted in ("*/*", "application/json", "application/json, text/event-stream;q=0.5", "text/html"):
        reply = api.call("GET", "/api/events", headers={"Accept": accepted})
        assert reply.headers["Content-Type"] == "application/json", accepted
    head = api.call("HEAD", "/api/events", headers=STREAM)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"].startswith("text/event-stream")


def test_a_stream_takes_a_slot_until_its_client_is_gone(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(MAX_WAITING_REQUESTS="1")
    with follow(api) as stream:
        stream.until("heartbeat")
        refused = api.call("GET", "/api/events", headers=STREAM)
        assert (refused.status, refused.error["code"]) == (503, "TOO_MANY_WAITING")
        assert int(refused.headers["Retry-After"]) > 0
        head = api.call("HEAD", "/api/events", headers=STREAM)
        assert head.status == 200
    wait_until(lambda: is_let_in(api), LIMIT_S, "the slot of a client that is gone")


def is_let_in(api: ApiServer) -> bool:
    """Whether there is a slot."""
    with closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=LIMIT_S)) as connection:
        connection.request("GET", "/api/events", headers=STREAM)
        return connection.getresponse().status == 200


@pytest.mark.req("API-02")
def test_a_revoked_token_ends_its_streams_and_no_others(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api(AUTH="required")
    kept, lost = (bearer(make_token(database_url, name, "read")) for name in ("kept", "lost"))
    assert api.call("GET", "/api/events", headers=STREAM).status == 401
    with follow(api, **kept) as other, follow(api, **lost) as stream:
        stream.until("heartbeat")
        assert manage_tokens(database_url, "revoke", "lost").returncode == 0
        assert stream.rest()[-1] == Event("unauthorized", {"code": "UNAUTHORIZED"}, None)
        other.until("heartbeat")
        other.until("heartbeat")


def test_a_stop_ends_streams_at_once_and_cleanly(start_api: Callable[..., ApiServer]) -> None:
    api = start_api()
    with follow(api, X_Request_ID="long-one") as stream:
        stream.until("heartbeat")
        assert not api.requests_logged("long-one"), "the line is written at the end"
        begun = time.monotonic()
        assert api.process is not None
        api.process.send_signal(signal.SIGTERM)
        # An end that was cut off would raise.
        assert {event.name for event in stream.rest()} <= {"heartbeat"}
        assert time.monotonic() - begun < STOP_S
    assert api.process.wait(STOP_LIMIT_S) == 0
    assert "Traceback" not in api.log_path.read_text()
    (line,) = api.requests_logged("long-one")
    assert (line["status"], line["path"]) == (200, "/api/events")


def test_hours_of_streams_count_as_no_duration(api: ApiServer) -> None:
    """Only how long a stream took to begin; otherwise nobody could see how long requests take."""
    with follow(api, X_Request_ID="measured") as stream:
        for _ in range(2):
            stream.until("heartbeat")
    (line,) = wait_until(lambda: api.requests_logged("measured"), LIMIT_S)
    assert line["duration_ms"] > 1000
    text = api.call("GET", "/metrics").body.decode()
    sums = re.findall(r'duration_seconds_sum\{[^}]*route="/api/events"[^}]*\} (\S+)', text)
    counts = re.findall(r'duration_seconds_count\{[^}]*route="/api/events"[^}]*\} (\S+)', text)
    assert sums
    assert counts


def test_without_a_database_a_stream_says_so_and_recovers(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with ApiServer(own_postgres.url(), tmp_path / "api.log") as api:
        gateway = api.gateway(api.factory()["id"])
        with follow(api) as stream:
            before = stream.until("heartbeat")
            own_postgres.stop()
            away = stream.until("unavailable")
            assert at(before) <= datetime.fromisoformat(away.data["since"])
            assert stream.until("unavailable").data == away.data
            own_postgres.start()
            with psycopg.connect(own_postgres.url(), autocommit=True) as database:
                happen(database, gateway, "afterwards")
            assert reasons(transitions(stream, 1)) == ["afterwards"]
            assert at(stream.until("heartbeat")) > at(before)


def test_with_a_silent_database_nothing_is_confirmed(own_postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with ApiServer(own_postgres.url(), tmp_path / "api.log") as api, follow(api) as stream:
        stream.until("heartbeat")
        with frozen(own_postgres):
            began = time.monotonic()
            stream.until("unavailable")
            assert time.monotonic() - began < SILENT_LIMIT_S
            told = [stream.next(), stream.next()]
            assert {event.name for event in told if event} == {"unavailable"}
        stream.until("heartbeat")


def test_events_that_cannot_be_read_are_not_confirmed_either(
    api: ApiServer, database: psycopg.Connection
) -> None:
    """A heartbeat after transitions that were not told would confirm states that are no more."""
    gateway = api.gateway(api.factory()["id"])
    with ExitStack() as opened:
        stream = opened.enter_context(follow(api))
        early, locking = (opened.enter_context(psycopg.connect(api.database_url)) for _ in range(2))
        stream.until("heartbeat")
        early.execute("SELECT pg_current_xact_id()")
        happen(database, gateway, "late")
        # What reads transitions reads gateways, too; a heartbeat does not.
        locking.execute("LOCK TABLE gateways")
        early.commit()
        stream.until("unavailable")
        told = [stream.next(), stream.next()]
        assert {event.name for event in told if event} == {"unavailable"}
        locking.rollback()
        following = [stream.next() for _ in range(2)]
        names = [event.name for event in following if event and event.name != "unavailable"]
        assert names[0] == "transition"


def test_a_crowd_costs_one_look_and_no_connections(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api(DB_POOL_MAX="1", DB_POOL_MIN="1")
    gateway = api.gateway(api.factory()["id"])
    with ExitStack() as opened, psycopg.connect(database_url, autocommit=True) as database:
        crowd = [opened.enter_context(follow(api)) for _ in range(CROWD)]
        for stream in crowd:
            stream.until("heartbeat")
        for stream in crowd:
            stream.until("heartbeat")
            stream.until("heartbeat")
        # Two for each to begin, and a few a second; with one for each heartbeat it would be four for each.
        assert statements(database) < 3 * CROWD
        for _ in range(20):
            assert api.call("GET", "/api/gateways").status == 200
        happen(database, gateway, "new")
        assert {tuple(reasons(transitions(stream, 1))) for stream in crowd} == {("new",)}


def statements(database: psycopg.Connection) -> int:
    """How many were executed in this database, as far as sessions have reported it."""
    row = database.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return int((row.fetchone() or (0,))[0])


def test_who_does_not_read_is_cut_off_and_stops_nobody(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api(MAX_WAITING_REQUESTS="2")
    gateway = api.gateway(api.factory()["id"])
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with closing(deaf), follow(api) as stream, psycopg.connect(database_url, autocommit=True) as database:
        deaf.connect(("127.0.0.1", api.port))
        deaf.sendall(b"GET /api/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        wait_until(lambda: not is_let_in(api), LIMIT_S, "both to follow")
        database.execute(RECORD, [gateway["id"], "x" * 200, STORM])
        told = transitions(stream, STORM)
        assert len({event.id for event in told}) == STORM
        wait_until(lambda: is_let_in(api), LIMIT_S, "the slot of the client that does not read")
        stream.until("heartbeat")
