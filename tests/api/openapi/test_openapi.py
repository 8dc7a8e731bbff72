"""The API's description is complete and valid."""

import json
import re
from collections.abc import Callable
from typing import Any, get_type_hints
from uuid import UUID

import pytest
from flask import Flask, Response

from service import __version__
from service.api.openapi.catalog import is_page
from service.api.openapi.document import build_openapi
from service.api.openapi.operation import operation_of
from service.api.web.etags import Precondition
from service.app import create_app
from service.config import ApiConfig
from service.environment import Environment
from tests.support.api_server import KEY, ApiServer, gateway_body

PARTS = ["favicon-32x32.png", "start.js", "swagger-ui-bundle.js", "swagger-ui.css"]
METHODS = {"get", "post", "put", "patch", "delete"}


def application(**extra: str) -> Flask:
    """Return the application, without a database."""
    values = {"DATABASE_URL": "postgresql://localhost/never", "ENCRYPTION_KEY": KEY, **extra}
    return create_app(ApiConfig.read(Environment(values)))


def test_every_route_is_documented() -> None:
    app = application()
    mute = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if operation_of(app.view_functions[rule.endpoint]) is None and not is_page(rule)
    ]
    assert mute == []


def test_every_function_takes_what_its_operation_declares() -> None:
    app = application()
    for rule in app.url_map.iter_rules():
        if is_page(rule):
            continue
        view = app.view_functions[rule.endpoint]
        operation = operation_of(view)
        assert operation is not None
        wanted: dict[str, Any] = {
            name: UUID if name.endswith("_id") else str for name in sorted(rule.arguments)
        }
        if operation.query.model_fields:
            wanted["query"] = operation.query
        if isinstance(operation.body, type) and operation.body.model_fields:
            wanted["body"] = operation.body
        if operation.condition == "write":
            wanted["precondition"] = Precondition | None
        assert get_type_hints(view) == {**wanted, "return": Response}, rule.endpoint


def test_an_undocumented_route_is_an_error() -> None:
    app = Flask("mute")
    app.add_url_rule("/mute", view_func=lambda: "nothing")
    with pytest.raises(ValueError, match="is not described"):
        build_openapi(app)


def test_every_operation_has_a_unique_id() -> None:
    paths = build_openapi(application())["paths"]
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(set(names)) == len(names) >= 20
    assert all(set(path) <= METHODS for path in paths.values())


def test_the_document_has_the_version_of_the_release() -> None:
    assert build_openapi(application())["info"]["version"] == __version__


def test_common_errors_are_documented() -> None:
    document = build_openapi(application())
    shared = document["components"]["responses"]["MethodNotAllowed"]
    assert set(shared["headers"]) >= {"Allow", "X-Request-ID"}
    assert "METHOD_NOT_ALLOWED" in shared["description"]
    assert "METHOD_NOT_ALLOWED" in document["info"]["description"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    overloaded = [
        each["operationId"] for each in operations if "OVERLOADED" in str(each["responses"].get("503"))
    ]
    for each in operations:
        uses_database = "DATABASE_UNAVAILABLE" in str(each["responses"]["500"])
        assert (each["operationId"] in overloaded) == uses_database, each["operationId"]
    assert len(overloaded) >= 20


def test_the_document_is_public_and_has_an_etag(api: ApiServer) -> None:
    reply = api.call("GET", "/api/openapi.json")
    assert (reply.status, reply.json["openapi"]) == (200, "3.1.1")
    again = api.call("GET", "/api/openapi.json", headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_the_page_loads_nothing_external_and_nothing_inline(api: ApiServer) -> None:
    page = api.call("GET", "/api/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = page.body.decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert sorted(links) == [f"docs/{name}" for name in PARTS]
    assert re.findall(r"<script[^>]*>([^<]+)|<style| style=| on\w+=", text) == []
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == (
        "'none'",
        "'self'",
        "'self'",
    )
    assert not re.search(r"unsafe|http|\*", page.headers["Content-Security-Policy"])
    for link in links:
        reply = api.call("GET", f"/api/{link}")
        assert reply.status == 200
        assert reply.body
        again = api.call("GET", f"/api/{link}", headers={"If-None-Match": reply.headers["ETag"]})
        assert again.status == 304
    start = api.call("GET", "/api/docs/start.js").body.decode()
    assert "openapi.json" in start
    assert "http" not in start


@pytest.mark.parametrize("name", ["nothing.js", "index.template.html", "..%2f__init__.py", "swagger-ui.js"])
def test_only_needed_files_of_the_package_are_served(api: ApiServer, name: str) -> None:
    assert api.call("GET", f"/api/docs/{name}").status == 404


@pytest.mark.parametrize("path", ["/api/openapi.json", "/api/docs", "/api/docs/start.js"])
def test_the_description_needs_no_token(start_api: Callable[..., ApiServer], path: str) -> None:
    assert start_api(AUTH="required").call("GET", path).status == 200


@pytest.mark.req("API-05")
def test_the_document_shows_whether_tokens_are_required() -> None:
    def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
        return [operation for path in document["paths"].values() for operation in path.values()]

    guarded = build_openapi(application(AUTH="required"))
    asking = [one for one in operations(guarded) if {"token": []} in one["security"]]
    assert len(asking) > 20
    assert all("401" in one["responses"] for one in asking)
    assert "token" in guarded["components"]["securitySchemes"]
    open_to_all = build_openapi(application(AUTH="off"))
    for one in operations(open_to_all):
        assert one["security"] == []
        if one["operationId"] == "create_session":
            continue  # It judges the token in its body.
        assert "401" not in one["responses"], one["operationId"]
        forbidden = one["responses"].get("403", {"content": {"application/json": {"examples": {}}}})
        assert set(forbidden["content"]["application/json"]["examples"]) <= {"CROSS_ORIGIN"}
        refusals = [name for answer in one["responses"].values() for name in _examples(answer)]
        assert "TOO_MANY_FAILURES" not in refusals
    assert "securitySchemes" not in open_to_all["components"]


def _examples(answer: dict[str, Any]) -> list[str]:
    return list(answer.get("content", {}).get("application/json", {}).get("examples", {}))


@pytest.mark.req("API-04")
def test_paths_begin_with_the_prefix_of_a_trusted_proxy(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(TRUSTED_PROXIES="1")
    for sent, prefix in (
        ("/millgate", "/millgate"), ("/millgate/", "/millgate"), ("plants/north", "/plants/north"),
        ("/a, /b", "/b"), ("/", ""), ("", ""), ("//evil.example/x", "/evil.example/x"),
        ("/../x", ""), ("/a b", ""), ("/a?b", ""), ("/a#b", ""), ("/\\evil", ""),
        ("https://evil.example", ""), ("/\xff", ""),
    ):  # fmt: skip
        prefixed = {"X-Forwarded-Prefix": sent}
        factory = api.call("POST", "/api/factories", {"name": "x"}, headers=prefixed)
        assert factory.headers["Location"] == f"{prefix}/api/factories/{factory.json['id']}", sent
        row = json.dumps(gateway_body(factory.json["id"], f"CTC {factory.json['id']}")).encode()
        lines = {**prefixed, "Content-Type": "application/x-ndjson"}
        imported = api.call("POST", "/api/gateways/import", body=row, headers=lines)
        assert imported.headers["Location"] == f"{prefix}/api/gateways"
        document = api.call("GET", "/api/openapi.json", headers=prefixed)
        assert document.json["servers"] == [{"url": prefix or "/"}]
        known = {**prefixed, "If-None-Match": document.headers["ETag"]}
        assert api.call("GET", "/api/openapi.json", headers=known).status == 304
    page = api.call("GET", "/api/docs", headers={"X-Forwarded-Prefix": "/millgate"}).body.decode()
    assert not re.search(r'(?:src|href)="/', page), "its links are relative"


def test_an_untrusted_prefix_is_ignored(api: ApiServer) -> None:
    claim = {"X-Forwarded-Prefix": "/millgate", "Script-Name": "/millgate"}
    location = api.call("POST", "/api/factories", {"name": "x"}, headers=claim).headers["Location"]
    assert location.startswith("/api/factories/")
    assert api.call("GET", "/api/openapi.json", headers=claim).json["servers"] == [{"url": "/"}]
