"""Factories, workers and the help, over HTTP."""

import psycopg
import pytest

from service.gateway_states import ACTIONS
from tests.support.api_server import ApiServer
from tests.support.web_client import WebClient

HOSTILE = "<b>Mill</b> & Söhne"


@pytest.fixture
def web(api: ApiServer) -> WebClient:
    return WebClient(api)


def names(api: ApiServer) -> list[str]:
    return [each["name"] for each in api.call("GET", "/api/factories").json["data"]]


def test_a_factory_is_added_changed_deleted_and_restored(api: ApiServer, web: WebClient) -> None:
    values = {"name": HOSTILE, "location": "", "timezone": "Europe/Berlin"}
    added = web.post("/ui/factories/new", values)
    assert (added.status, added.headers["Location"]) == (303, "/ui/factories")
    page = web.get("/ui/factories").body.decode()
    assert "&lt;b&gt;Mill" in page
    assert "<b>Mill" not in page
    [factory] = api.call("GET", "/api/factories").json["data"]
    path = f"/ui/factories/{factory['id']}"
    changed = web.post(f"{path}/edit", {**values, "name": "Mill", "location": "Hall 1"})
    assert changed.status == 303
    assert names(api) == ["Mill"]
    assert web.post(f"{path}/delete", {"name": "Other"}).status == 400
    assert names(api) == ["Mill"]
    assert web.post(f"{path}/delete", {"name": "Mill"}).status == 303
    assert names(api) == []
    assert web.post(f"{path}/restore", {}, form_at="/ui/factories/new").status == 303
    assert names(api) == ["Mill"]


def test_a_mistake_is_shown_at_its_field_and_nothing_typed_is_lost(web: WebClient) -> None:
    page = web.post("/ui/factories/new", {"name": " ", "location": "Hall 7", "timezone": "Mars/Olympus"})
    assert page.status == 400
    text = page.body.decode()
    assert 'id="name-errors"' in text
    assert 'id="timezone-errors"' in text
    assert 'value="Hall 7"' in text


def test_factories_are_listed_with_how_their_gateways_are(api: ApiServer, web: WebClient) -> None:
    api.gateway(api.factory()["id"])
    page = web.get("/ui/factories")
    assert page.status == 200
    assert 'aria-label="1 off"' in page.body.decode()


def test_deleting_a_factory_says_what_goes_with_it(api: ApiServer, web: WebClient) -> None:
    factory = api.factory()
    api.gateway(factory["id"])
    text = web.get(f"/ui/factories/{factory['id']}/delete").body.decode()
    assert "Its 1 gateway is deleted with it" in text
    assert web.get("/ui/factories/00000000-0000-0000-0000-000000000001/delete").status == 404


def test_workers_are_listed_or_it_is_said_that_there_are_none(
    web: WebClient, database: psycopg.Connection
) -> None:
    assert "No worker is running" in web.get("/ui/workers").body.decode()


def test_the_help_has_each_reason_and_what_to_do(web: WebClient) -> None:
    text = web.get("/ui/help").body.decode()
    for code in ACTIONS:
        assert f'id="reason-{code}"' in text
