"""CORS and security headers."""

from collections.abc import Callable

import pytest

from tests.support.api_server import ApiServer

ORIGIN = "https://plant.example.com"


@pytest.mark.req("API-04")
@pytest.mark.parametrize("path", ["/api/health", "/api/nothing"])
def test_every_answer_has_the_security_headers(api: ApiServer, path: str) -> None:
    headers = api.call("GET", path).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Strict-Transport-Security"] is None
    assert headers["Set-Cookie"] is None


@pytest.mark.req("API-04")
def test_https_is_enforced_only_when_configured_and_cannot_be_claimed(
    start_api: Callable[..., ApiServer],
) -> None:
    api = start_api(FORCE_HTTPS="true")
    reply = api.call("GET", "/api/factories", headers={"X-Forwarded-Proto": "https"})
    assert reply.status in {301, 302, 308}
    assert reply.headers["Location"].startswith("https://")


@pytest.mark.req("API-03")
def test_without_origins_there_is_no_cors_header(api: ApiServer) -> None:
    headers = api.call("GET", "/api/factories", headers={"Origin": ORIGIN}).headers
    assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.req("API-03")
def test_an_origin_of_the_environment_may_call_and_others_may_not(
    start_api: Callable[..., ApiServer],
) -> None:
    api = start_api(CORS_ORIGINS=f"{ORIGIN}, https://other.example.com")
    allowed = api.call("GET", "/api/factories", headers={"Origin": ORIGIN}).headers
    assert allowed["Access-Control-Allow-Origin"] == ORIGIN
    assert "X-Request-ID" in allowed["Access-Control-Expose-Headers"]
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    assert (
        "PATCH"
        in api.call("OPTIONS", "/api/factories", headers=preflight).headers["Access-Control-Allow-Methods"]
    )
    refused = api.call("GET", "/api/factories", headers={"Origin": "https://evil.example.com"}).headers
    assert refused["Access-Control-Allow-Origin"] is None
