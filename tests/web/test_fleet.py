"""The fleet: what is counted, what needs attention, and what is never said."""

from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from service.gateway_states import ACTIONS, ReasonCode
from tests.support.api.reports import observe, worker
from tests.support.api_server import ApiServer
from tests.support.html_page import Page
from tests.support.web_client import WebClient
from tests.support.worker_settings import PASSWORD

REFUSED = "10.3.0.7 refused the connection on port 5000."


def counts(page: Page) -> dict[str, int]:
    """The number of each state, as it is shown."""
    shown = [each for each in page.elements if "data-count" in each.attributes]
    return {each.attributes["data-count"]: int(each.text.replace(",", "")) for each in shown}


def attention(page: Page) -> list[str]:
    """The names in the list of what needs attention, in its order."""
    [start] = [n for n, each in enumerate(page.elements) if each.attributes.get("id") == "attention"]
    rows = [each for each in page.elements[start:] if each.attributes.get("id", "").startswith("attention-")]
    return [row.text.split("\n")[2].split()[0] for row in rows]


def down(
    database: psycopg.Connection,
    gateway: dict[str, Any],
    holder: tuple[str, int],
    state: str,
    age_s: int | None,
) -> None:
    """Report this state, whose connection ended so long ago; the attempts since were many."""
    observe(database, gateway, holder, state)
    database.execute(
        """
        UPDATE gateway_connections SET
            last_disconnected_at = now() - %(age)s * interval '1 s',
            last_connected_at = now() - (%(age)s + 60) * interval '1 s',
            state_since = now() - interval '3 s', next_attempt_at = now() + interval '20 s', attempt = 14,
            reason_code = 'connection_refused', reason_message = %(message)s, reason_phase = 'tcp',
            reason_retryable = TRUE, reason_at = now() - interval '3 s'
        WHERE gateway_id = %(id)s
        """,
        {"id": gateway["id"], "age": age_s, "message": REFUSED},
    )


def test_an_empty_fleet_says_how_to_begin(web: WebClient) -> None:
    page = web.get("/ui/")
    assert "No gateway yet. Add one or import a CSV." in page.text
    assert set(counts(page).values()) == {0}
    assert "Needs attention" not in page.text
    assert "No factory yet." in page.text


@pytest.mark.req("STATUS-01")
def test_the_counts_are_those_of_the_summary_and_lead_to_the_gateways(
    api: ApiServer, database: psycopg.Connection, web: WebClient
) -> None:
    mill, plant = api.factory(name="Mill"), api.factory(name="Plant")
    with ExitStack() as sessions:
        live, lost = worker(api, sessions, "60 s"), worker(api, sessions, "-1 s")
        for number, (holder, state) in enumerate(
            [(live, "connected"), (live, "connected"), (live, "auth_failed"), (lost, "connected")]
        ):
            observe(database, api.gateway(mill["id"], f"CTC-{number}"), holder, state)
        api.gateway(plant["id"], "CTC-never")
        page, summary = web.get("/ui/"), api.call("GET", "/api/status/summary").json
    assert counts(page) == summary["states"]
    assert summary["states"]["unknown"] == 1
    assert page.one("p", id="status-line").attributes["data-live-workers"] == "1"
    for factory in summary["data"]:
        assert factory["name"] in page.text
    bars = [each.attributes["aria-label"] for each in page.all("svg", role="img")]
    assert bars == ["2 connected, 1 login refused, 1 unknown", "1 off"]
    assert len(list(page.all("h1"))) == 1


def test_what_was_longest_without_a_connection_comes_first(
    api: ApiServer, database: psycopg.Connection, web: WebClient
) -> None:
    """Each attempt begins a state anew: the time in the state says nothing."""
    factory = api.factory(name="Mill", timezone="Europe/Berlin")
    made = {name: api.gateway(factory["id"], name, name=name) for name in ("new", "old", "older", "fine")}
    with ExitStack() as sessions:
        live = worker(api, sessions, "60 s")
        down(database, made["new"], live, "retrying", 5)
        down(database, made["older"], live, "auth_failed", 7200)
        down(database, made["old"], live, "retrying", 720)
        observe(database, made["fine"], live, "connected")
        page = web.get("/ui/")
    assert attention(page) == ["older", "old", "new"]
    assert "Needs attention (3)" in page.text
    text = page.one("tr", id=f"attention-{made['old']['id']}").text
    assert REFUSED in text
    assert "for 12 min" in text
    assert ACTIONS[ReasonCode.CONNECTION_REFUSED] in text
    assert "Next attempt in" in text
    assert f"/ui/gateways/{made['old']['id']}" in {each.attributes["href"] for each in page.all("a")}
    assert PASSWORD not in page.html


def test_what_was_never_connected_and_what_nobody_knows_needs_attention_too(
    api: ApiServer, database: psycopg.Connection, web: WebClient
) -> None:
    factory = api.factory()
    never, lost = (api.gateway(factory["id"], name, name=name) for name in ("never", "lost"))
    with ExitStack() as sessions:
        down(database, never, worker(api, sessions, "60 s"), "retrying", None)
        observe(database, lost, worker(api, sessions, "-1 s"), "connected")
        page = web.get("/ui/")
    assert sorted(attention(page)) == ["lost", "never"]
    assert "never connected" in page.one("tr", id=f"attention-{never['id']}").text
    row = page.one("tr", id=f"attention-{lost['id']}").text
    assert ("unknown" in row, "connected" in row) == (True, False)


def test_a_quiet_fleet_says_that_it_is(api: ApiServer, database: psycopg.Connection, web: WebClient) -> None:
    with ExitStack() as sessions:
        live = worker(api, sessions, "60 s")
        observe(database, api.gateway(api.factory()["id"]), live, "connected")
        page = web.get("/ui/")
    assert "None retrying, refused or unknown, which is good." in page.text
    assert "Needs attention (0)" in page.text


def test_of_many_the_first_are_shown_and_all_are_counted(
    api: ApiServer, database: psycopg.Connection, web: WebClient
) -> None:
    factory = api.factory()
    with ExitStack() as sessions:
        live = worker(api, sessions, "60 s")
        for number in range(25):
            name = f"g{number:02}"
            down(database, api.gateway(factory["id"], name, name=name), live, "retrying", 1000 - number)
        page = web.get("/ui/")
    assert attention(page) == [f"g{number:02}" for number in range(20)]
    assert "All 25 that need attention" in page.text


def test_factories_are_shown_page_by_page(api: ApiServer, web: WebClient) -> None:
    for number in range(51):
        api.factory(name=f"F{number:02}")
    page = web.get("/ui/")
    assert "F49" in page.text
    assert "F50" not in page.text
    rest = web.get(page.one("a", rel="next").attributes["href"])
    assert ("F50" in rest.text, "F49" in rest.text) == (True, False)
