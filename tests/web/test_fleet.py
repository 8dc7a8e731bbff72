"""The fleet on one page: what needs attention comes first, the longest first."""

import re
from contextlib import ExitStack

import psycopg
import pytest

from tests.support.api.reports import observe, worker
from tests.support.api_server import ApiServer
from tests.support.web_client import WebClient


def test_an_empty_fleet_says_how_to_begin(api: ApiServer) -> None:
    text = WebClient(api).get("/ui/").body.decode()
    assert "No gateway yet" in text
    assert "Needs attention" not in text


def test_gateways_that_need_attention_are_listed_longest_first(
    api: ApiServer, database: psycopg.Connection
) -> None:
    factory = api.factory()["id"]
    gateways = {
        state: api.gateway(factory, f"CTC-{state}", name=f"Kiln {state}")
        for state in ("connected", "retrying", "auth_failed", "connecting")
    }
    with ExitStack() as sessions:
        holder = worker(api, sessions, "60 s")
        for state, gateway in gateways.items():
            observe(database, gateway, holder, state)
        database.execute(
            "UPDATE gateway_connections SET state_since = now() - interval '2 h' WHERE state = 'auth_failed'"
        )
        text = WebClient(api).get("/ui/").body.decode()
        shown = re.findall(r'data-gateway="([^"]+)"', text)
        assert shown == [gateways["auth_failed"]["id"], gateways["retrying"]["id"]]
        assert "Needs attention (<span data-number>2</span>), longest first" in text
        assert re.search(r'data-count="connected">1<', text)
        database.execute(
            "UPDATE workers SET lease_expires_at = now(), heartbeat_at = now() - interval '40 s'"
        )
    text = WebClient(api).get("/ui/").body.decode()
    assert len(re.findall(r'data-gateway="', text)) == 4
    assert re.search(r'data-count="unknown">4<', text)


@pytest.mark.req("STATUS-01")
def test_the_counts_are_those_of_the_summary(
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
    shown = [each for each in page.elements if "data-count" in each.attributes]
    counts = {each.attributes["data-count"]: int(each.text.replace(",", "")) for each in shown}
    assert counts == summary["states"]
    assert counts["unknown"] == 1
    assert page.one("p", id="status-line").attributes["data-live-workers"] == "1"
    bars = [each.attributes["aria-label"] for each in page.all("svg", role="img")]
    assert bars == ["2 connected, 1 login refused, 1 unknown", "1 off"]
    assert [factory["name"] in page.text for factory in summary["data"]] == [True, True]


def test_factories_are_shown_page_by_page(api: ApiServer, web: WebClient) -> None:
    for number in range(51):
        api.factory(name=f"F{number:02}")
    page = web.get("/ui/")
    assert ("F49" in page.text, "F50" in page.text) == (True, False)
    rest = web.get(page.one("a", rel="next").attributes["href"])
    assert ("F49" in rest.text, "F50" in rest.text) == (False, True)
