"""The description of the API: complete, and valid."""

import pytest
from flask import Flask

from service.api.document import write_document
from service.api.openapi import operation_of
from service.app import create_app
from service.config import ApiConfig
from service.environment import Environment
from tests.api.server import KEY, ApiServer

METHODS = {"get", "post", "put", "patch", "delete"}


def application() -> Flask:
    """The API, without its database."""
    values = {"DATABASE_URL": "postgresql://localhost/never", "ENCRYPTION_KEY": KEY}
    return create_app(ApiConfig.read(Environment(values)))


def test_every_route_says_what_it_does() -> None:
    app = application()
    mute = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if operation_of(app.view_functions[rule.endpoint]) is None
    ]
    assert mute == []


def test_a_route_that_says_nothing_is_no_part_of_a_document() -> None:
    app = Flask("mute")
    app.add_url_rule("/mute", view_func=lambda: "nothing")
    with pytest.raises(ValueError, match="is not described"):
        write_document(app)


def test_every_operation_has_a_name_of_its_own() -> None:
    paths = write_document(application())["paths"]
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(set(names)) == len(names) >= 20
    assert all(set(path) <= METHODS for path in paths.values())


def test_the_document_is_served_to_all_and_only_when_it_is_news(api: ApiServer) -> None:
    reply = api.call("GET", "/api/openapi.json")
    assert (reply.status, reply.json["openapi"]) == (200, "3.1.1")
    again = api.call("GET", "/api/openapi.json", headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
