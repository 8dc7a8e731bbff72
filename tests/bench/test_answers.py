"""The comparison of two answers."""

import json
from typing import Any

import pytest

from bench.api.answers import Answer, comparable, differences, request_lines

HEADERS = {
    "content-type": "application/json",
    "etag": '"1-0123456789abcdef01234567"',
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
GATEWAY = {"id": "a", "name": "Hall", "created_at": "2026-11-23T15:40:04.357275Z"}
ERROR = {
    "code": "VALIDATION_ERROR",
    "message": "The request is not valid.",
    "details": [{"field": "url", "message": "is wrong", "type": "url"}],
    "request_id": "1",
}


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    changed = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Answer(status, changed, json.dumps(body).encode())


def differ(one: Answer, other: Answer, *fresh: str) -> list[str]:
    return differences(comparable(one, fresh), comparable(other, fresh))


def test_an_answer_is_the_same_as_itself() -> None:
    assert not differ(answer(GATEWAY), answer(GATEWAY))


def test_server_headers_and_formatting_may_differ() -> None:
    other = answer(
        {**GATEWAY, "created_at": "2026-11-23T15:40:04.357Z"},
        server="other",
        date="now",
        etag='"1-ffffffffffffffffffffffff"',
        content_type="application/json; charset=utf-8",
        content_security_policy="default-src 'none';frame-ancestors 'none'",
    )
    assert not differ(answer(GATEWAY), other)


@pytest.mark.parametrize(
    ("other", "where"),
    [
        (answer(GATEWAY, 201), "status"),
        (answer({**GATEWAY, "name": "Hall 2"}), "body.name"),
        (answer({**GATEWAY, "created_at": "2026-11-23T15:40:04.358Z"}), "body.created_at"),
        (answer({**GATEWAY, "surplus": None}), "body"),
        (answer({**GATEWAY, "name": None}), "body.name"),
        (answer(GATEWAY, x_frame_options="SAMEORIGIN"), "x-frame-options"),
        (answer(GATEWAY, x_surplus="1"), "headers"),
        (answer(GATEWAY, etag='"2-0123456789abcdef01234567"'), "tag"),
        (answer(GATEWAY, etag='W/"1-0123456789abcdef01234567"'), "tag"),
        (answer(GATEWAY, content_type="text/plain"), "media type"),
    ],
)
def test_each_difference_is_named(other: Answer, where: str) -> None:
    found = differ(answer(GATEWAY), other)
    assert found
    assert found[0].startswith((f"{where}:", f"{where}["))


def test_fresh_values_must_have_the_same_type() -> None:
    assert not differ(answer(GATEWAY), answer({**GATEWAY, "id": "b"}), "id")
    assert differ(answer(GATEWAY), answer({**GATEWAY, "id": 5}), "id")
    page: dict[str, Any] = {"data": [GATEWAY], "pagination": {"next_cursor": "x"}}
    assert not differ(answer(page), answer({**page, "pagination": {"next_cursor": "y"}}))
    assert differ(answer(page), answer({**page, "pagination": {"next_cursor": None}}))


def test_errors_may_differ_in_wording_only() -> None:
    detail = {"field": "url", "message": "can not be", "type": "other"}
    own = {**ERROR, "request_id": "2", "details": [detail]}
    assert not differ(answer({"error": ERROR}, 400), answer({"error": own}, 400))
    for wrong in (
        {"code": "OTHER"},
        {"details": [{**detail, "field": "name"}]},
        {"details": [], "message": "x"},
    ):
        assert differ(answer({"error": ERROR}, 400), answer({"error": {**own, **wrong}}, 400))


def test_only_complete_request_lines_count() -> None:
    told = dict.fromkeys(
        ("time", "level", "logger", "message", "request_id", "method", "path", "status", "duration_ms")
    )
    lacking = {name: value for name, value in told.items() if name != "status"}
    log = [json.dumps(told), json.dumps(lacking), "started", "[]", json.dumps({**told, "more": 1})]
    assert request_lines("\n".join(log)) == 2
