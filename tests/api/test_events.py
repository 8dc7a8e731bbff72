"""Live events: none lost, none repeated, and waiting requests block no others."""

import base64
import http.client
import json
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from service.database.views.event_stream import WINDOW_ROWS
from tests.support.api.events import LIMIT_S, RECORD, STOP_S, ask, happen, part
from tests.support.api_server import STOP_LIMIT_S, ApiServer, Reply
from tests.support.waiting import wait_until

FIELDS = {
    "id", "at", "from_state", "to_state", "reason", "attempt", "generation", "worker_id", "gateway",
}  # fmt: skip
CROWD = 400


def messages(answer: dict[str, Any]) -> list[str]:
    """Return the reasons' messages of a response's transitions."""
    return [event["reason"]["message"] for event in answer["data"]]


def follow(api: ApiServer, cursor: str, count: int, wait: int = 5, **query: object) -> tuple[list[str], str]:
    """Return this many messages after a cursor, and the cursor after them."""
    told: list[str] = []
    deadline = time.monotonic() + LIMIT_S
    while len(told) < count:
        assert time.monotonic() < deadline, told
        answer = part(api, cursor, wait, **query)
        told += messages(answer)
        cursor = answer["cursor"]
    return told, cursor


def test_events_are_returned_once_and_in_order(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    first, second = api.gateway(factory_id, "CTC-1"), api.gateway(factory_id, "CTC-2")
    happen(database, first, "before")
    wait_until(lambda: visible(database) == 1, LIMIT_S, "the first to be in the stream")
    begun = part(api)
    assert (begun["data"], begun["has_more"]) == ([], False)
    assert part(api, begun["cursor"])["cursor"] == begun["cursor"]
    for number in range(5):
        happen(database, (first, second)[number % 2], f"s{number}")
    assert follow(api, begun["cursor"], 5, limit=2)[0] == ["s0", "s1", "s2", "s3", "s4"]
    told, cursor = follow(api, begun["cursor"], 5)
    assert told == ["s0", "s1", "s2", "s3", "s4"], "a cursor may be used again"
    assert messages(part(api, cursor)) == []
    short = part(api, begun["cursor"], limit=2)
    assert (messages(short), short["has_more"]) == (["s0", "s1"], True)
    assert set(short["data"][0]) == FIELDS
    assert short["data"][1]["gateway"] == {
        "id": second["id"], "factory_id": factory_id, "gateway_id": "CTC-2", "name": "Press hall",
    }  # fmt: skip
    whole = part(api, short["cursor"], limit=3)
    assert (messages(whole), whole["has_more"]) == (["s2", "s3", "s4"], False)
    api.call("DELETE", f"/api/gateways/{first['id']}")
    happen(database, first, "gone")
    assert follow(api, cursor, 1)[0] == ["gone"], "also events of deleted gateways"


def test_events_stay_with_their_factory_when_the_gateway_moves(
    api: ApiServer, database: psycopg.Connection
) -> None:
    here, there = api.factory()["id"], api.factory()["id"]
    gateway = api.gateway(here)
    begun = {place: part(api, factory_id=place)["cursor"] for place in (here, there)}
    happen(database, gateway, "here 1", "here 2")
    assert api.call("PATCH", f"/api/gateways/{gateway['id']}", {"factory_id": there}).status == 200
    happen(database, gateway, "there")
    for place, states_there in ((here, ["here 1", "here 2"]), (there, ["there"])):
        told, _ = follow(api, begun[place], len(states_there), factory_id=place)
        assert told == states_there
        shown = part(api, begun[place], factory_id=place)["data"]
        assert {event["gateway"]["factory_id"] for event in shown} == {place}
    history = api.call("GET", f"/api/gateways/{gateway['id']}/events").json["data"]
    assert [event["reason"]["message"] for event in history] == ["there", "here 2", "here 1"]


def visible(database: psycopg.Connection) -> int:
    """Return how many transitions the stream has."""
    row = database.execute(
        "SELECT count(*) FROM gateway_events WHERE modified_xid < pg_snapshot_xmin(pg_current_snapshot())"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("first_to_write", ["first to commit", "last to commit"])
def test_overlapping_transactions_lose_no_event(
    api: ApiServer, database: psycopg.Connection, first_to_write: str
) -> None:
    """Ids are assigned in another order than transactions begin or commit; none is lost or repeated."""
    gateway = api.gateway(api.factory()["id"])
    cursor = part(api)["cursor"]
    with ExitStack() as stack:
        early, late = (stack.enter_context(psycopg.connect(api.database_url)) for _ in range(2))
        # Both have started to write, one after the other.
        for connection in (early, late):
            connection.execute("SELECT pg_current_xact_id()")
        writers = (early, late) if first_to_write == "last to commit" else (late, early)
        for connection in writers:
            happen(connection, gateway, "early" if connection is early else "late")
        late.commit()
        happen(database, gateway, "after")
        meanwhile = part(api, cursor)
        assert meanwhile["data"] == [], "an earlier transaction may still commit"
        early.commit()
    told, cursor = follow(api, meanwhile["cursor"], 3)
    assert told == ["early", "late", "after"]
    assert messages(part(api, cursor)) == []


def test_many_writers_and_readers_see_the_same_events(api: ApiServer, database: psycopg.Connection) -> None:
    """Events read in parts during the writes are exactly those written, each once."""
    gateway = api.gateway(api.factory()["id"])
    cursor = part(api)["cursor"]

    def write(writer: int) -> None:
        with psycopg.connect(api.database_url) as connection:
            for number in range(50):
                happen(connection, gateway, f"{writer}-{number}", f"{writer}-{number}b")
                connection.rollback() if number % 5 == 0 else connection.commit()

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, writer) for writer in range(4)]
        told, _ = follow(api, cursor, 4 * 40 * 2, limit=7)
        for one in writing:
            one.result()
    assert len(set(told)) == len(told) == 4 * 40 * 2
    for writer in range(4):
        mine = [state for state in told if state.startswith(f"{writer}-")]
        kept = (number for number in range(50) if number % 5)
        assert mine == [f"{writer}-{number}{half}" for number in kept for half in ("", "b")]
    row = database.execute("SELECT count(*) FROM gateway_events").fetchone()
    assert row == (len(told),)


def test_the_events_of_one_factory_can_be_followed(api: ApiServer, database: psycopg.Connection) -> None:
    here, there = (api.gateway(api.factory()["id"], name) for name in ("HERE", "THERE"))
    cursor = part(api, factory_id=here["factory_id"])["cursor"]
    happen(database, there, "other")
    # More than one read scans.
    database.execute(RECORD, [there["id"], "other", 2 * WINDOW_ROWS])
    happen(database, here, "mine")
    happen(database, there, "other")
    told, behind = follow(api, cursor, 1, factory_id=here["factory_id"])
    assert told == ["mine"]
    assert messages(part(api, behind, factory_id=here["factory_id"])) == []
    for query in ({}, {"factory_id": there["factory_id"]}):
        refused = ask(api, cursor, **query)
        assert (refused.status, refused.fields) == (400, ["after"])


@pytest.mark.req("API-05", "FACTORY-08")
def test_invalid_parameters_are_rejected(api: ApiServer) -> None:
    cursor = part(api)["cursor"]
    listed = base64.urlsafe_b64encode(bytes(24) + b"\xff" * 8).decode().rstrip("=")
    for query, field in (
        ("wait=31", "wait"), ("wait=-1", "wait"), ("wait=1.5", "wait"), ("wait=", "wait"),
        ("limit=0", "limit"), ("limit=101", "limit"), ("after=", "after"), ("after=1", "after"),
        (f"after={cursor}x", "after"), (f"after={cursor[:-2]}", "after"), (f"after={listed}", "after"),
        ("factory_id=5", "factory_id"), (f"cursor={cursor}", "cursor"), ("wait=1&wait=1", "wait"),
    ):  # fmt: skip
        reply = api.call("GET", f"/api/events?{query}")
        assert (reply.status, reply.error["code"], reply.fields) == (400, "VALIDATION_ERROR", [field]), query
    assert api.call("POST", "/api/events").status == 405


def test_pruned_events_are_reported_as_unknown(api: ApiServer, database: psycopg.Connection) -> None:
    gateway = api.gateway(api.factory()["id"])
    old = part(api)["cursor"]
    happen(database, gateway, "first", "second")
    _, between = follow(api, old, 1, limit=1)
    _, new = follow(api, between, 1)
    database.execute("DELETE FROM gateway_events WHERE reason_message = 'first'")
    gone = ask(api, old, wait=20)
    assert (gone.status, gone.error["code"]) == (410, "CURSOR_EXPIRED"), "immediately, and not silently"
    assert follow(api, between, 1)[0] == ["second"], "no event after it is missing"
    database.execute("DELETE FROM gateway_events")
    assert ask(api, between).status == 410
    happen(database, gateway, "third")
    assert follow(api, new, 1)[0] == ["third"]
    database.execute("DELETE FROM gateway_events")
    fresh = wait_until(lambda: usable(api), LIMIT_S, "a cursor after all pruned events")
    happen(database, gateway, "fourth")
    assert follow(api, fresh, 1)[0] == ["fourth"]


def usable(api: ApiServer) -> str:
    """Return a new cursor if no event after it is missing; else None."""
    cursor: str = part(api)["cursor"]
    return cursor if ask(api, cursor).status == 200 else ""


def test_a_cursor_of_another_server_is_rejected(api: ApiServer) -> None:
    """As after a restore or a failover: transaction ids start again."""
    decoded = bytearray(base64.urlsafe_b64decode(part(api)["cursor"] + "=="))
    decoded[10] ^= 1
    gone = ask(api, base64.urlsafe_b64encode(decoded).decode().rstrip("="), wait=20)
    assert (gone.status, gone.error["code"]) == (410, "CURSOR_EXPIRED")


def timed(api: ApiServer, cursor: str, wait: int, **query: object) -> float:
    """Return how long a response took."""
    started = time.monotonic()
    part(api, cursor, wait, **query)
    return time.monotonic() - started


Waiting = list[Future[dict[str, Any]]]


def occupy(pool: ThreadPoolExecutor, api: ApiServer, cursor: str, count: int, **query: object) -> Waiting:
    """Fill all waiting slots; a further request is then rejected."""
    waiting: Waiting = [pool.submit(wait_in, api, cursor, **query) for _ in range(count)]
    wait_until(lambda: is_refused(ask(api, cursor, 1, **query)), 25, f"{count} to wait")
    return waiting


def wait_in(api: ApiServer, cursor: str, **query: object) -> dict[str, Any]:
    """Return the response of a waiting request, retried until it gets a slot."""
    answer: dict[str, Any] = wait_until(lambda: let_in(ask(api, cursor, 30, **query)), LIMIT_S, "a slot")
    return answer


def let_in(reply: Reply) -> Any:
    """Return the response, None if too many are waiting."""
    return None if is_refused(reply) else reply.json


def is_refused(reply: Reply) -> bool:
    """Whether too many are waiting; assert the Retry-After."""
    if reply.status == 200:
        return False
    assert (reply.status, reply.error["code"]) == (503, "TOO_MANY_WAITING")
    assert int(reply.headers["Retry-After"]) > 0
    return True


def test_a_waiting_request_is_answered_immediately_and_holds_no_connection(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    """With a single connection in the pool others are served meanwhile."""
    api = start_api(MAX_WAITING_REQUESTS="2", DB_POOL_MAX="1", DB_POOL_MIN="1")
    gateway = api.gateway(api.factory()["id"])
    cursor = part(api)["cursor"]
    with ThreadPoolExecutor(2) as pool, psycopg.connect(database_url, autocommit=True) as database:
        waiting = occupy(pool, api, cursor, 2)
        assert api.call("GET", "/api/gateways").status == 200
        happen(database, gateway, "new")
        assert [messages(one.result(LIMIT_S)) for one in waiting] == [["new"], ["new"]]


def test_a_request_woken_by_other_events_keeps_its_slot(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    """Other requests want to wait meanwhile."""
    api = start_api(MAX_WAITING_REQUESTS="1")
    here, there = (api.gateway(api.factory()["id"], name) for name in ("HERE", "THERE"))
    mine = part(api, factory_id=here["factory_id"])["cursor"]
    cursor = part(api)["cursor"]
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url, autocommit=True) as database:
        (waiting,) = occupy(pool, api, mine, 1, factory_id=here["factory_id"])
        until, asked = time.monotonic() + 4, 0
        while time.monotonic() < until:
            if asked % 20 == 0:
                happen(database, there, "other")
            # Without new events this one would wait, too.
            reply, asked = ask(api, cursor, 1), asked + 1
            cursor = cursor if is_refused(reply) else reply.json["cursor"]
        assert not waiting.done()
        happen(database, here, "mine")
        assert messages(waiting.result(LIMIT_S)) == ["mine"]


def test_waiting_ends_with_its_timeout(api: ApiServer) -> None:
    cursor = part(api)["cursor"]
    assert timed(api, cursor, 1) >= 1
    answer = part(api, cursor, wait=1)
    assert answer == {"data": [], "cursor": cursor, "has_more": False}


def test_a_stop_ends_waits_immediately(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(MAX_WAITING_REQUESTS="1")
    cursor = part(api)["cursor"]
    with ThreadPoolExecutor(2) as pool:
        (waiting,) = occupy(pool, api, cursor, 1)
        stopping = pool.submit(api.stop)
        assert waiting.result(STOP_S) == {"data": [], "cursor": cursor, "has_more": False}
        assert stopping.result() == 0
    assert "Traceback" not in api.log_path.read_text()


def test_a_stopping_api_starts_no_new_waits(start_api: Callable[..., ApiServer]) -> None:
    """Waiting requests are answered; on remaining connections a new wait gets a Retry-After."""
    api = start_api(MAX_WAITING_REQUESTS="1")
    cursor = part(api)["cursor"]
    late = http.client.HTTPConnection("127.0.0.1", api.port, timeout=LIMIT_S)
    with ThreadPoolExecutor(1) as pool, closing(late):
        (waiting,) = occupy(pool, api, cursor, 1)
        late.request("GET", "/api/health")
        late.getresponse().read()
        assert api.process is not None
        api.process.send_signal(signal.SIGTERM)
        assert waiting.result(STOP_S) == {"data": [], "cursor": cursor, "has_more": False}
        late.request("GET", f"/api/events?after={cursor}&wait=30")
        refused = late.getresponse()
        assert (refused.status, json.load(refused)["error"]["code"]) == (503, "SHUTTING_DOWN")
        assert int(refused.headers["Retry-After"]) > 0
    assert api.process.wait(STOP_LIMIT_S) == 0


def test_hundreds_of_waiting_requests_are_answered_while_others_are_served(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api()
    gateway = api.gateway(api.factory()["id"])
    path = f"/api/events?after={part(api)['cursor']}&wait=30"
    with ExitStack() as opened, psycopg.connect(database_url, autocommit=True) as database:
        waiting = []
        for _ in range(CROWD):
            connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=LIMIT_S)
            waiting.append(opened.enter_context(closing(connection)))
            connection.request("GET", path)
        for _ in range(20):
            assert api.call("GET", "/api/gateways").status == 200
        happen(database, gateway, "new")
        answers = [connection.getresponse() for connection in waiting]
        assert [answer.status for answer in answers] == [200] * CROWD
        assert {tuple(messages(json.load(answer))) for answer in answers} == {("new",)}


def test_many_followers_leave_database_connections_for_others(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    """Transitions are locked for a while, so that each read of them holds a connection."""
    # One for the followers, one for the event feed, and one free.
    api = start_api(DB_POOL_MAX="3")
    cursor = part(api)["cursor"]
    with ThreadPoolExecutor(24) as pool, psycopg.connect(database_url) as locking:
        locking.execute("LOCK TABLE gateway_events")
        without = [pool.submit(ask, api) for _ in range(12)]
        wait_until(lambda: held_up(locking) > 0, LIMIT_S, "one to look")
        crowd = without + [pool.submit(ask, api, cursor) for _ in range(12)]
        assert [api.call("GET", "/api/factories").status for _ in range(20)] == [200] * 20
        assert held_up(locking) == 1
        locking.rollback()
        assert [one.result(LIMIT_S).status for one in crowd] == [200] * 24


def held_up(database: psycopg.Connection) -> int:
    """Count the statements waiting for a lock on the transitions."""
    row = database.execute(
        "SELECT count(*) FROM pg_locks WHERE relation = 'gateway_events'::regclass AND NOT granted"
    ).fetchone()
    assert row is not None
    return int(row[0])
