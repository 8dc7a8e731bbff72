"""The page of one gateway: what it claims, what it shows of the past, and what can be done there."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import psycopg
import pytest

from service.gateway_states import ACTIONS, ReasonCode
from simulator import Credentials, Site
from tests.support.api.history import created_ago, record
from tests.support.api.reports import observe, worker
from tests.support.api.tokens import make_token
from tests.support.api_server import ApiServer, Reply
from tests.support.waiting import wait_until
from tests.support.web_client import WebClient
from tests.support.worker_process import ThreadedWorker
from tests.support.worker_settings import EMAIL, PASSWORD

WORKER_LIMIT_S = 10.0
HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


@pytest.fixture
def web(api: ApiServer) -> WebClient:
    return WebClient(api)


@pytest.fixture
def sessions(api: ApiServer) -> Iterator[ExitStack]:
    """Where workers' sessions are held open."""
    with ExitStack() as stack:
        yield stack


def shown(reply: Reply) -> str:
    """The page, which has to be there, as text."""
    assert reply.status == 200, reply.body
    return reply.body.decode()


def part(page: str, element: str) -> str:
    """The words in the element with this id, which has no other of its kind within."""
    found = re.search(rf'<(\w+)[^>]*\bid="{element}"[^>]*>(.*?)</\1>', page, re.DOTALL)
    assert found is not None, f"nothing is called {element}"
    return unescape(" ".join(re.sub(r"<[^>]+>", "", found[2]).split()))


def path_of(gateway: dict[str, Any]) -> str:
    return f"/ui/gateways/{gateway['id']}"


def refused(database: psycopg.Connection) -> None:
    """Has the worker say that the connection was refused."""
    database.execute(
        "UPDATE gateway_connections SET reason_code = 'connection_refused', reason_phase = 'tcp',"
        " attempt = 13, reason_message = 'Refused <b>.', reason_retryable = true,"
        " reason_at = now() - interval '9 s',"
        " next_attempt_at = now() + interval '90 s', last_seen_at = now() - interval '13 min',"
        " last_connected_at = now() - interval '2 h', last_disconnected_at = now() - interval '12 min',"
        " observed_generation = 1, state_since = now() - interval '9 s'"
    )


def test_the_page_of_a_gateway_that_is_down_says_why_and_what_to_do(
    api: ApiServer, web: WebClient, database: psycopg.Connection, sessions: ExitStack
) -> None:
    gateway = api.gateway(api.factory(timezone="Asia/Tokyo")["id"], name="Kiln 2")
    observe(database, gateway, worker(api, sessions, "60 s"), "retrying")
    refused(database)
    page = shown(web.get(path_of(gateway)))
    assert part(page, "claim") == "Kiln 2 is not connected, for 12 min."
    assert 'data-state="retrying"' in page
    assert part(page, "why").startswith("Why: Refused <b>. connection_refused, phase tcp, 9 s ago")
    assert part(page, "what-to-do") == f"What to do: {ACTIONS[ReasonCode.CONNECTION_REFUSED]}"
    assert part(page, "next-attempt").startswith("Next attempt in 1 min (attempt 14)")
    assert re.search(r"<time[^>]*data-countdown", page)
    assert part(page, "last-seen") == "13 min ago"
    assert part(page, "holder") == "h"
    assert "Asia/Tokyo" in page
    assert 'id="asked"' not in page


@pytest.mark.parametrize(
    ("state", "claim"),
    [
        ("connected", "Kiln is connected, for 0 s."),
        ("connecting", "Kiln is not connected: an attempt is being made, and it never was connected."),
        (
            "authenticating",
            "Kiln is not connected: its login is not answered yet, and it never was connected.",
        ),
        ("auth_failed", "Kiln is not connected: it refuses the login, and it never was connected."),
        ("disconnecting", "Kiln is being disconnected, for 0 s."),
    ],
)
def test_each_state_is_told_in_a_sentence(
    api: ApiServer, web: WebClient, database: psycopg.Connection, sessions: ExitStack, state: str, claim: str
) -> None:
    gateway = api.gateway(api.factory()["id"], name="Kiln")
    holder = worker(api, sessions, "60 s")
    observe(database, gateway, holder, state)
    assert part(shown(web.get(path_of(gateway))), "claim") == claim
    # Whatever it was: nobody can say any more.
    database.execute("UPDATE workers SET lease_expires_at = now(), heartbeat_at = now() - interval '40 s'")
    database.execute("UPDATE gateway_connections SET state_since = now() - interval '1 h'")
    page = shown(web.get(path_of(gateway)))
    assert part(page, "claim") == "No worker is running, so nobody knows whether Kiln is connected, for 40 s."
    assert 'data-state="unknown"' in page
    assert part(page, "holder") == "h, which is not heard of"
    worker(api, sessions, "60 s")
    page = shown(web.get(path_of(gateway)))
    assert part(page, "claim").startswith("Whether Kiln is connected is not known, for 4")


def test_what_is_asked_is_shown_as_asked_until_a_worker_has_taken_it_up(
    api: ApiServer, web: WebClient, database: psycopg.Connection, sessions: ExitStack
) -> None:
    gateway = api.gateway(api.factory()["id"], name="Kiln")
    path = path_of(gateway)
    assert part(shown(web.get(path)), "asked") == "Asked to connect; no worker has taken that up yet."
    observe(database, gateway, worker(api, sessions, "60 s"), "connected")
    database.execute("UPDATE gateway_connections SET observed_generation = 1")
    assert 'id="asked"' not in shown(web.get(path))
    led = web.post(f"{path}/disconnect", {}, form_at=path)
    assert (led.status, led.headers["Location"]) == (303, path)
    page = shown(web.get(path))
    assert part(page, "asked") == "Asked to disconnect; its worker has not taken that up yet."
    assert part(page, "claim") == "Kiln is connected, for 0 s.", "until its worker says something else"
    assert part(page, "desired") == "off"
    assert "Asked to disconnect." in page
    database.execute(
        "UPDATE gateway_connections SET state = 'disconnected', connected_since = NULL,"
        " observed_generation = 2, worker_id = NULL, epoch = NULL, next_attempt_at = NULL"
    )
    page = shown(web.get(path))
    assert 'id="asked"' not in page
    assert part(page, "claim").startswith("Kiln is off, as it should be")
    assert web.post(f"{path}/connect", {}, form_at=path).status == 303
    page = shown(web.get(path))
    assert part(page, "asked") == "Asked to connect; no worker has taken that up yet."
    assert api.call("GET", f"/api/gateways/{gateway['id']}").json["desired_state"] == "connected"


def test_the_past_is_drawn_in_patterns_and_told_in_words(
    api: ApiServer, web: WebClient, database: psycopg.Connection
) -> None:
    gateway = api.gateway(api.factory(timezone="Asia/Tokyo")["id"])
    created_ago(database, gateway, 20 * 3600)
    record(
        database,
        gateway,
        [
            (20 * 3600 - 1, "disconnected", "connected"), (10 * 3600, "connected", "unknown"),
            (9 * 3600, "unknown", "disconnected"), (7 * 3600, "disconnected", "connected"),
            (3500, "connected", "retrying"), (3490, "retrying", "connected"),
        ],
    )  # fmt: skip
    database.execute("INSERT INTO gateway_connections (gateway_id) VALUES (%s)", [gateway["id"]])
    page = shown(web.get(path_of(gateway)))
    drawn = re.findall(r'<svg class="availability".*?</svg>', page)
    day, month = (ET.fromstring(svg) for svg in drawn)  # noqa: S314 - ours
    assert [picture.findall("g") != [] for picture in (day, month)] == [True, True]
    title = day.findtext("title")
    assert title is not None
    assert title.startswith("Known to be connected 84.9")
    assert "unknown 1 h" in title
    assert "in 3 outages (longest 2 h)" in title
    assert title.partition(". From ")[0] in unescape(page).replace("\n", " ")
    fills = {rect.get("fill", "solid") for rect in day.iter("rect") if rect.get("x")}
    assert fills == {"solid", "url(#bar-0-down)", "url(#bar-0-unknown)", "url(#bar-0-unwanted)"}
    patterns = {f"url(#{pattern.get('id')})" for pattern in day.iter("pattern")}
    assert fills - {"solid"} <= patterns
    # Ten seconds of a quarter of an hour are seen, too; equal stretches are one.
    assert any("not connected 10 s" in (group.findtext("title") or "") for group in day.iter("g"))
    assert len(day.findall("g")) < 20
    edges = [
        float(rect.get("x", 0)) + float(rect.get("width", 0)) for rect in day.iter("rect") if rect.get("x")
    ]
    assert max(edges) == pytest.approx(960, abs=0.1)
    assert "style=" not in page
    fragment = shown(web.get(path_of(gateway), Millgate_Fragment="1"))
    assert '<svg class="availability"' not in fragment, "what is fetched again and again is not added up"
    assert 'id="claim"' in fragment


def test_transitions_are_paged_to_older_ones(
    api: ApiServer, web: WebClient, database: psycopg.Connection
) -> None:
    gateway = api.gateway(api.factory()["id"])
    record(database, gateway, [(60.0 - n, "retrying", "connecting") for n in range(25)])
    path, seen = path_of(gateway), []
    for _ in range(3):
        page = shown(web.get(path))
        seen += re.findall(r'<tr id="event-(\d+)"', page)
        older = re.search(r'<a rel="next" href="([^"]+)">Older</a>', page)
        path = unescape(older[1]) if older else ""
    assert path == ""
    assert len(set(seen)) == 25
    assert seen == sorted(seen, key=int, reverse=True)
    assert web.get(f"{path_of(gateway)}?cursor=x").status == 400


def test_nothing_of_a_gateway_is_taken_for_markup_and_its_password_is_nowhere(
    api: ApiServer, web: WebClient, database: psycopg.Connection, sessions: ExitStack
) -> None:
    factory = api.factory(name=HOSTILE)
    gateway = api.gateway(
        factory["id"], name=HOSTILE, model=HOSTILE, metadata={HOSTILE: HOSTILE}, password="marker-secret"
    )
    observe(database, gateway, worker(api, sessions, "60 s"), "retrying")
    database.execute(
        "UPDATE gateway_connections SET reason_code = 'closed_by_gateway', reason_phase = 'session',"
        " reason_retryable = true, reason_at = now(), reason_message = %s",
        [HOSTILE],
    )
    for path in (path_of(gateway), f"{path_of(gateway)}/test"):
        page = shown(web.get(path))
        assert "<script>alert" not in page
        assert "49" not in part(page, "claim")
        assert HOSTILE in unescape(page)
        assert "marker-secret" not in page
        assert "assword" not in page


def test_a_deleted_gateway_is_gone_from_its_page(api: ApiServer, web: WebClient) -> None:
    gateway = api.gateway(api.factory()["id"], name="Kiln 2")
    path = path_of(gateway)
    assert "Kiln 2 is disconnected, and its id CTC-1 is free" in shown(web.get(path))
    assert web.post_as_is(f"{path}/delete", {}).status == 400, "a form without its token"
    assert api.call("GET", f"/api/gateways/{gateway['id']}").status == 200
    assert web.post(f"{path}/delete", {}, form_at=path).status == 303
    assert api.call("GET", f"/api/gateways/{gateway['id']}").status == 404
    gone = web.get(path)
    assert gone.status == 404
    assert b"data-state=" not in gone.body
    assert web.get("/ui/gateways/00000000-0000-7000-8000-00000000dead").status == 404


def test_a_reading_token_sees_no_button_and_writes_nothing(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api()
    gateway = api.gateway(api.factory()["id"])
    locked = start_api(AUTH="required")
    web = WebClient(locked)
    web.post("/ui/login", {"token": make_token(database_url, "reader", "read")})
    path = path_of(gateway)
    page = shown(web.get(path))
    assert "data-writes" not in page
    for write in ("connect", "disconnect", "delete", "test"):
        assert web.post(f"{path}/{write}", {}, form_at=path).status == 403
    assert "Only a token that may write" in shown(web.get(f"{path}/test"))
    assert api.call("GET", f"/api/gateways/{gateway['id']}").json["desired_state"] == "connected"


def test_a_connection_test_is_shown_step_by_step(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api()
    web = WebClient(api)
    with Site.start(["AP-1", "AP-2"], credentials=Credentials(EMAIL, PASSWORD), one_port_each=True) as site:
        factory_id = api.factory()["id"]
        right, wrong = (
            api.gateway(factory_id, name, url=site.url(name), email=EMAIL, password=password)
            for name, password in (("AP-1", PASSWORD), ("AP-2", "wrong-marker"))
        )
        for gateway in (right, wrong):
            api.call("POST", f"/api/gateways/{gateway['id']}/disconnect")
        alone = web.post(f"{path_of(right)}/test", {}, form_at=path_of(right))
        assert alone.status == 503
        assert part(alone.body.decode(), "verdict").startswith("There was no test.")
        hand = ThreadedWorker(database_url, {})
        try:
            wait_until(lambda: api.call("GET", "/api/health/ready").status == 200, WORKER_LIMIT_S, "a worker")
            page = shown(web.post(f"{path_of(right)}/test", {}, form_at=path_of(right)))
            assert part(page, "verdict") == "It works. Every step went well."
            steps = re.findall(r'data-step="(\w+)" data-status="(\w+)"', page)
            assert steps == [
                ("resolve", "ok"), ("connect", "ok"), ("tls", "skipped"), ("upgrade", "ok"), ("login", "ok"),
                ("subscribe", "ok"),
            ]  # fmt: skip
            page = shown(web.post(f"{path_of(wrong)}/test", {}, form_at=path_of(wrong)))
            assert part(page, "verdict").startswith("It does not work.")
            assert ACTIONS[ReasonCode.LOGIN_REJECTED] in unescape(page)
            assert ("login", "failed") in re.findall(r'data-step="(\w+)" data-status="(\w+)"', page)
            assert "wrong-marker" not in page
        finally:
            hand.stop()
