"""The fleet on one page: what needs attention comes first, the longest first."""

import re
from contextlib import ExitStack

import psycopg

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
        assert "Needs attention (2), longest first" in text
        assert re.search(r'data-count="connected">1<', text)
        database.execute(
            "UPDATE workers SET lease_expires_at = now(), heartbeat_at = now() - interval '40 s'"
        )
    text = WebClient(api).get("/ui/").body.decode()
    assert len(re.findall(r'data-gateway="', text)) == 4
    assert re.search(r'data-count="unknown">4<', text)
