"""Every error has the same format, the right status, and no request data."""

import json
import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from flask import Flask

from service.api.openapi.operation import Operation
from service.api.web import errors
from service.app import create_app
from service.config import ApiConfig
from service.database.engine import first_connection
from service.environment import Environment
from service.errors import MillgateError, NotReadyError
from tests.support.api_server import KEY, ApiServer

# A file of lines (tests/api/gateways/test_gateway_import.py), and nothing.
TAKE_NO_JSON = {"imports.import_gateways", "bulk.refuse_method"}


def crashing_app() -> Flask:
    """Return the application with a route that crashes."""
    app = create_app()

    @app.get("/api/crash")
    @Operation("crash", "A bug", {}, include_in_schema=False)
    def crash() -> str:
        password = "correct horse battery staple"
        raise RuntimeError(f"a bug that knows {len(password)} characters")

    return app


@pytest.mark.req("API-06", "QUAL-04")
@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status", "code"),
    [
        ("GET", "/api/nothing", None, None, 404, "NOT_FOUND"),
        ("GET", "/api/factories/", None, None, 404, "NOT_FOUND"),
        ("PUT", "/api/factories", b"{}", "application/json", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/api/factories", b"{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/api/factories", b"{}", None, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/api/factories", b'{"name": ', "application/json", 400, "INVALID_JSON"),
        ("POST", "/api/factories", b"\xff\xfe", "application/json", 400, "INVALID_JSON"),
        ("POST", "/api/factories", b'{"name": "a\\u0000b"}', "application/json", 400, "VALIDATION_ERROR"),
        ("POST", "/api/factories", b"[1]", "application/json", 400, "VALIDATION_ERROR"),
        ("POST", "/api/factories", b" " * (1024 * 1024 + 1), "application/json", 413, "PAYLOAD_TOO_LARGE"),
        ("GET", "/api/factories?colour=red", None, None, 400, "VALIDATION_ERROR"),
        ("GET", "/api/health?x=1", None, None, 400, "VALIDATION_ERROR"),
        ("GET", "/api/gateways/none", None, None, 400, "VALIDATION_ERROR"),
        ("GET", "/api/gateways/%00", None, None, 400, "VALIDATION_ERROR"),
    ],
)
def test_an_error_has_its_status_and_its_code(
    api: ApiServer,
    method: str,
    path: str,
    body: bytes | None,
    content_type: str | None,
    status: int,
    code: str,
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    reply = api.call(method, path, body=body, headers=headers)
    assert (reply.status, reply.error["code"]) == (status, code)
    if status == 405:
        assert reply.headers["Allow"]


@pytest.mark.req("API-05", "API-06")
@pytest.mark.parametrize(
    "metadata", [r'{"a": "\ud800"}', r'{"\u0000": 1}', r'{"a": ["\u0000"]}', '{"a": 1e400}', '{"a": NaN}']
)
def test_values_that_the_database_cannot_store_are_rejected(api: ApiServer, metadata: str) -> None:
    body = f'{{"name": "Mill", "metadata": {metadata}}}'.encode()
    reply = api.call("POST", "/api/factories", body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert reply.error["code"] in {"INVALID_JSON", "VALIDATION_ERROR"}


@pytest.mark.req("API-06")
def test_a_crash_returns_the_usual_error_and_is_logged(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(application="tests.api.web.test_errors:crashing_app()")
    reply = api.call("GET", "/api/crash", headers={"X-Request-ID": "crash-1"})
    assert (reply.status, reply.error["code"]) == (500, "INTERNAL_ERROR")
    assert b"bug" not in reply.body
    crash = next(line for line in api.log_lines() if "traceback" in line)
    assert crash["request_id"] == "crash-1"
    assert api.call("GET", "/api/health").status == 200


@pytest.mark.req("API-06")
def test_malformed_http_is_answered_and_costs_only_its_connection(api: ApiServer) -> None:
    answer = api.raw(b"GARBAGE\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
    assert api.call("GET", "/api/health").status == 200


@pytest.mark.req("API-06")
def test_retryable_errors_have_a_retry_after() -> None:
    answers = [*errors.PROBLEMS.values(), errors.problem_for(NotReadyError([]))]
    busy = [answer for answer in answers if answer is not None and answer.status in {429, 503}]
    assert len(busy) >= 7
    assert [answer.code for answer in busy if "Retry-After" not in answer.headers] == []


@pytest.mark.req("QUAL-04")
def test_every_error_has_a_response_or_never_reaches_a_request() -> None:
    def tree(kind: type[MillgateError]) -> list[type[MillgateError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]

    without = {
        kind.__name__
        for kind in tree(MillgateError)
        if not any(isinstance(kind, type) and known in kind.__mro__ for known in errors.PROBLEMS)
    }
    assert without == {
        "MillgateError",
        "ConfigurationError",
        "DatabaseHeldError",
        "SealError",
        "InvalidRequestError",
        first_connection.LastingConnectionError.__name__,
        first_connection.MissingDatabaseError.__name__,
        "NotReadyError",
        "TokenNameConflictError",
        "TokenNotFoundError",
        "TooManyFailuresError",
        "UnauthorizedError",
    }


@pytest.mark.req("API-07")
def test_each_request_is_one_log_line_without_its_content(api: ApiServer) -> None:
    body = {"name": "Mill", "location": "hidden-location"}
    headers = {"X-Request-ID": "line-1", "Authorization": "hidden-token"}
    reply = api.call("POST", "/api/factories", body, headers=headers)
    assert reply.headers["X-Request-ID"] == "line-1"
    [line] = api.requests_logged("line-1")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/factories", 201)
    assert line["time"]
    assert line["level"] == "info"
    assert line["duration_ms"] > 0
    api.call("GET", "/api/factories?limit=hidden-query", headers={"X-Request-ID": "line-2"})
    assert "hidden" not in json.dumps(api.log_lines())


@pytest.mark.req("API-07")
@pytest.mark.parametrize("offered", ["a b", "a" * 129, "größe", "", "tab\there"])
def test_an_unsafe_request_id_is_replaced(api: ApiServer, offered: str) -> None:
    headers = {"X-Request-ID": offered.encode().decode("latin-1")}
    given = api.call("GET", "/api/health", headers=headers).headers["X-Request-ID"]
    assert given != offered
    assert len(given) == 32


@pytest.mark.req("QUAL-03", "API-05")
def test_no_route_accepts_fields_unknown_to_its_models(api: ApiServer) -> None:
    """Iterates over the routes, so that new ones are covered."""
    config = ApiConfig.read(Environment({"DATABASE_URL": "postgresql:///none", "ENCRYPTION_KEY": KEY}))
    rules = [rule for rule in create_app(config).url_map.iter_rules() if rule.rule.startswith("/api")]
    assert len(rules) >= 12
    for rule in rules:
        path = re.sub(r"<[^>]+>", str(uuid4()), rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            takes_body = method in {"POST", "PUT", "PATCH"}
            reply = api.call(method, f"{path}?surprise=1", {} if takes_body else None)
            assert (reply.status, reply.fields) == (400, ["surprise"]), (method, path)
            if takes_body and rule.endpoint not in TAKE_NO_JSON:
                reply = api.call(method, path, {"surprise": 1})
                assert reply.status == 400, (method, path)
                assert "surprise" in reply.fields, (method, path)
