"""A browser's session: a cookie in place of a token, which is worth as much as the token is."""

from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import psycopg
import pytest

from tests.support.api.tokens import bearer, make_token, manage_tokens
from tests.support.api_server import KEY, ApiServer, Reply
from tests.support.database_server import cloned_database
from tests.support.secret_forms import forms
from tests.support.web_client import WebClient
from tests.web.routes import page_routes

COOKIE = "millgate_session"
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}
OTHER_KEY = KEY.replace("AAEC", "BBEC")
StartApi = Callable[..., ApiServer]


@pytest.fixture(scope="module")
def locked(
    server_admin: psycopg.Connection, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """A server that requires tokens, and believes one proxy."""
    extra = {"AUTH": "required", "TRUSTED_PROXIES": "1", "LOG_LEVEL": "debug"}
    with (
        cloned_database(server_admin, server_url) as url,
        ApiServer(url, tmp_path_factory.mktemp("api") / "api.log", extra) as api,
    ):
        yield api


@pytest.fixture
def token(locked: ApiServer, request: pytest.FixtureRequest) -> str:
    """A token of this test's own, that may write."""
    return make_token(locked.database_url, request.node.name[:60], "write")


def cookie_of(reply: Reply) -> SimpleCookie:
    """The cookies that it sets."""
    return SimpleCookie("\n".join(reply.headers.get_all("Set-Cookie") or ()))


def log_in(api: ApiServer, token: str, **headers: str) -> WebClient:
    """A browser with a session."""
    web = WebClient(api, dict(headers))
    reply = api.call("POST", "/api/session", {"token": token}, headers={**headers, **FROM_HERE})
    assert reply.status == 200, reply.body
    web.cookies = {name: cookie.value for name, cookie in cookie_of(reply).items()}
    return web


def status(web: WebClient, method: str, path: str, **headers: str) -> int:
    """Of a request with the cookie."""
    body = b'{"name": "Mill"}' if method == "POST" else None
    return web.call(method, path, body, {"Content-Type": "application/json", **headers}).status


def test_a_token_is_exchanged_for_a_cookie_that_programs_on_the_page_cannot_read(
    locked: ApiServer, token: str
) -> None:
    reply = locked.call("POST", "/api/session", {"token": token})
    assert (reply.status, reply.json["scope"]) == (200, "write")
    cookie = cookie_of(reply)[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        True,
        "Strict",
        "/",
        "",
    )
    assert (cookie["domain"], cookie["max-age"], cookie["expires"]) == ("", "", "")
    behind_tls = locked.call("POST", "/api/session", {"token": token}, headers={"X-Forwarded-Proto": "https"})
    assert cookie_of(behind_tls)[COOKIE]["secure"] is True
    written = reply.headers.as_string() + reply.body.decode() + locked.log_path.read_text()
    assert not [name for name, text in forms(token.rpartition("_")[2]).items() if text in written]


def test_the_session_reads_and_writes_from_pages_of_ours_alone(locked: ApiServer, token: str) -> None:
    web = log_in(locked, token)
    assert status(web, "GET", "/api/factories") == 200
    assert status(web, "POST", "/api/factories") == 403
    assert status(web, "POST", "/api/factories", **{"Sec-Fetch-Site": "none"}) == 403
    assert status(web, "POST", "/api/factories", **{"Sec-Fetch-Site": "same-site"}) == 403
    assert status(web, "POST", "/api/factories", Origin="https://evil.example.com") == 403
    assert status(web, "POST", "/api/factories", Origin="null") == 403
    assert status(web, "POST", "/api/factories", Origin=f"http://127.0.0.1:{locked.port}") == 201
    assert status(web, "POST", "/api/factories", **FROM_HERE) == 201
    [line] = locked.requests_logged(web.call("GET", "/api/factories").headers["X-Request-ID"])
    assert line["token"].startswith("test_the_session_reads")


def test_an_origin_that_may_call_with_a_token_may_not_use_the_session(start_api: StartApi) -> None:
    """CORS without credentials: the listed page has a token of its own."""
    api = start_api(AUTH="required", CORS_ORIGINS="http://127.0.0.1:9999")
    token = make_token(api.database_url, "listed", "write")
    web = log_in(api, token)
    assert status(web, "POST", "/api/factories", Origin="http://127.0.0.1:9999") == 403
    with_token = {"Origin": "http://127.0.0.1:9999", **bearer(token)}
    assert status(WebClient(api), "POST", "/api/factories", **with_token) == 201


def test_a_session_of_a_token_that_reads_does_not_write(locked: ApiServer) -> None:
    web = log_in(locked, make_token(locked.database_url, "reader", "read"))
    assert status(web, "GET", "/api/factories") == 200
    assert status(web, "POST", "/api/factories", **FROM_HERE) == 403
    page = web.get("/ui/")
    assert (page.status, "read only" in page.text) == (200, True)
    assert not [each for each in page.elements if "data-writes" in each.attributes]
    assert not [each for each in page.all("a") if each.attributes["href"].endswith("/new")]


def test_it_dies_with_the_token(locked: ApiServer, token: str, request: pytest.FixtureRequest) -> None:
    web = log_in(locked, token)
    assert web.get("/ui/").status == 200
    manage_tokens(locked.database_url, "revoke", request.node.name[:60])
    assert web.get("/ui/", **{"Millgate-Fragment": "1"}).status == 401
    page = web.get("/ui/?cursor=")
    assert (page.status // 100, page.location) == (3, "/ui/login?next=/ui/?cursor%3D")
    assert status(web, "GET", "/api/factories") == 401


def test_a_token_in_the_header_counts_before_the_session(locked: ApiServer, token: str) -> None:
    web = log_in(locked, token)
    assert status(web, "GET", "/api/factories", Authorization="Bearer wrong") == 401
    reader = make_token(locked.database_url, "other reader", "read")
    assert status(web, "POST", "/api/factories", **FROM_HERE, **bearer(reader)) == 403
    assert status(web, "POST", "/api/factories", **bearer(token)) == 201


def test_it_ends_with_delete(locked: ApiServer, token: str) -> None:
    web = log_in(locked, token)
    assert web.call("DELETE", "/api/session", headers=FROM_HERE).status == 204
    assert web.cookies == {}
    assert status(web, "GET", "/api/factories") == 401
    assert WebClient(locked).call("DELETE", "/api/session", headers=FROM_HERE).status == 204


@pytest.mark.parametrize(
    "change",
    [
        lambda cookie: cookie[:-1] + ("A" if cookie[-1] != "A" else "B"),
        lambda cookie: "x" + cookie,
        lambda cookie: cookie.partition(".")[0],
        lambda _: "",
        lambda _: "e30.AAAA.BBBB",
        lambda cookie: cookie * 2,
    ],
)
def test_a_cookie_that_was_changed_is_none(
    locked: ApiServer, token: str, change: Callable[[str], str]
) -> None:
    web = log_in(locked, token)
    web.cookies[COOKIE] = change(web.cookies[COOKIE])
    assert status(web, "GET", "/api/factories") == 401


def test_keys_that_are_rotated_out_still_count_and_others_do_not(start_api: StartApi) -> None:
    before = start_api(AUTH="required")
    token = make_token(before.database_url, "rotated", "write")
    web = log_in(before, token)
    after = start_api(AUTH="required", ENCRYPTION_KEY=OTHER_KEY, ENCRYPTION_KEYS_OLD=KEY)
    web.server = after
    assert status(web, "GET", "/api/factories") == 200
    web = log_in(after, token)
    web.server = before
    assert status(web, "GET", "/api/factories") == 401


def test_guessing_is_limited_as_for_tokens(locked: ApiServer, token: str) -> None:
    elsewhere = {"X-Forwarded-For": "10.77.0.1"}
    replies = [locked.call("POST", "/api/session", {"token": "guess"}, headers=elsewhere) for _ in range(40)]
    assert (replies[0].status, replies[-1].status) == (401, 429)
    assert int(replies[-1].headers["Retry-After"]) > 0
    assert log_in(locked, token, **elsewhere).get("/ui/").status == 200
    guessing = WebClient(locked, elsewhere)
    page = guessing.submit(guessing.get("/ui/login"), "/ui/login", {"token": "guess"})
    assert (page.status, page.headers["Retry-After"] is None) == (429, False)


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 7}, {"token": "x", "more": 1}, []])
def test_what_is_no_token_is_said_to_be_none(locked: ApiServer, body: object) -> None:
    reply = locked.call("POST", "/api/session", body, headers={"X-Forwarded-For": "10.77.0.2"})
    assert reply.status in {400, 401}
    assert reply.headers["Set-Cookie"] is None


def test_the_form_begins_a_session_and_its_button_ends_it(locked: ApiServer, token: str) -> None:
    web = WebClient(locked)
    asked = web.get("/ui/?cursor=")
    assert asked.location == "/ui/login?next=/ui/?cursor%3D"
    form = web.get(asked.location)
    wrong = web.submit(form, asked.location, {"token": f"{token}x"})
    assert (wrong.status, "not a valid token" in wrong.text) == (401, True)
    assert token not in wrong.html
    right = web.submit(form, asked.location, {"token": f" {token}\n"})
    assert (right.status, right.location) == (303, "/ui/?cursor=")
    page = web.get("/ui/")
    assert (page.status, token in page.html) == (200, False)
    ended = web.submit(page, "/ui/logout", {})
    assert (ended.status, ended.location) == (303, "/ui/login")
    assert web.get("/ui/").status // 100 == 3


def test_the_csrf_token_of_before_the_login_is_worth_nothing_after(locked: ApiServer, token: str) -> None:
    web = WebClient(locked)
    form = web.get("/ui/login")
    assert web.submit(form, "/ui/login", {"token": token}).status == 303
    assert web.submit(form, "/ui/logout", {}).status == 400


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example.com/",
        "//evil.example.com",
        "/\\evil.example.com",
        "/ui/\\evil",
        "/ui//evil.example.com\n",
        "javascript:alert(1)",
        "/api/factories",
        "/ui/../api/factories",
        "/ui/%2e%2e/api",
        "http:///ui/",
        "",
        "\t//evil.example.com",
        "/ui/\r\nSet-Cookie: a=b",
    ],
)
def test_the_login_leads_nowhere_but_to_a_page(locked: ApiServer, token: str, target: str) -> None:
    web = WebClient(locked)
    form = web.get("/ui/login")
    field = {"csrf_token": next(form.all("input", name="csrf_token")).attributes["value"], "token": token}
    page = web.post_as_is(f"/ui/login?{urlencode({'next': target})}", field)
    assert (page.status, page.location) == (303, "/ui/")
    assert page.headers["a"] is None


def test_without_tokens_there_is_no_login(start_api: StartApi) -> None:
    web = WebClient(start_api())
    assert web.get("/ui/login").location == "/ui/"
    assert "Log out" not in web.get("/ui/").text


def test_a_redirect_to_the_login_keeps_the_prefix_of_a_proxy(locked: ApiServer, token: str) -> None:
    web = WebClient(locked, {"X-Forwarded-Prefix": "/plant"})
    asked = web.get("/ui/")
    assert asked.location == "/plant/ui/login?next=/ui/"
    page = web.submit(web.get("/ui/login"), "/ui/login?next=/ui/", {"token": token})
    assert page.location == "/plant/ui/"


def test_every_page_but_the_login_asks_for_a_session(locked: ApiServer) -> None:
    """Walks the routes themselves, so that a new one is held to it too."""

    web = WebClient(locked, {"X-Forwarded-For": "10.77.0.3"})
    for method, path in page_routes():
        page = web.get(path) if method == "GET" else web.post_as_is(path, {})
        if path.startswith(("/ui/login", "/ui/logout", "/ui/static")) or path in {"/", "/ui"}:
            continue
        assert page.status in {302, 303, 401, 429}, (method, path)
