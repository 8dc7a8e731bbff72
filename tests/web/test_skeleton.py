"""What all pages have in common: the way to them, their headers, their login, their errors."""

import gzip
import re
from collections.abc import Callable

import pytest

from devstack.postgres.server import EmbeddedPostgres
from tests.support.api.tokens import bearer, make_token, manage_tokens
from tests.support.api_server import ApiServer
from tests.support.web_client import WebClient

STATIC = re.compile(r'(?:href|src)="(/ui/static/[^"]+)"')


@pytest.fixture
def web(api: ApiServer) -> WebClient:
    return WebClient(api)


def test_browsers_are_led_to_the_page_and_programs_are_not(api: ApiServer, web: WebClient) -> None:
    led = web.get("/")
    assert (led.status, led.headers["Location"]) == (302, "/ui/")
    refused = api.call("GET", "/", headers={"Accept": "*/*"})
    assert (refused.status, refused.error["code"]) == (404, "NOT_FOUND")


def test_a_page_says_as_of_when_it_is_true_and_who_vouches_for_it(web: WebClient) -> None:
    page = web.get("/ui/")
    text = page.body.decode()
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-store"
    assert re.search(r'data-as-of="\d{4}-[^"]+Z" data-live-workers="0"', text)
    assert "nobody can vouch" in text


def test_a_page_allows_nothing_inline_and_nothing_from_elsewhere(api: ApiServer, web: WebClient) -> None:
    page = web.get("/ui/")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "script-src 'self'" in policy
    text = page.body.decode()
    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son[a-z]+=", text)
    assert not re.search(r'(?:href|src|action)="(?:https?:)?//', text)
    assert "script-src" not in api.call("GET", "/api/factories").headers["Content-Security-Policy"]


def test_files_are_compressed_and_kept_until_they_change(web: WebClient) -> None:
    page = web.get("/ui/", Accept_Encoding="gzip")
    paths = set(STATIC.findall(gzip.decompress(page.body).decode()))
    total = len(page.body)
    for path in paths:
        file = web.get(path, Accept_Encoding="gzip")
        assert file.status == 200
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert gzip.decompress(file.body) == web.get(path).body
        total += len(file.body)
    assert len(paths) <= 11
    assert total < 100_000
    assert web.get("/ui/static/other/millgate.css").status == 404


def test_a_fragment_is_the_part_that_changes_alone(web: WebClient) -> None:
    fragment = web.get("/ui/", Millgate_Fragment="1")
    text = fragment.body.decode()
    assert "data-as-of=" in text
    assert "<html" not in text
    assert "Millgate-Fragment" in fragment.headers["Vary"]


def test_what_there_is_not_is_a_page_under_ui_and_json_elsewhere(api: ApiServer, web: WebClient) -> None:
    assert b"<h1" in web.get("/ui/nowhere").body
    assert web.get("/ui/nowhere").status == 404
    assert api.call("GET", "/nowhere").error["code"] == "NOT_FOUND"


Start = Callable[..., ApiServer]


@pytest.fixture
def locked(start_api: Start) -> ApiServer:
    """A server that requires tokens."""
    return start_api(AUTH="required")


def test_a_token_is_exchanged_for_a_cookie_that_dies_with_it(locked: ApiServer, database_url: str) -> None:
    token = make_token(database_url, "first", "read")
    web = WebClient(locked)
    led = web.get("/ui/?cursor=x")
    assert (led.status, led.headers["Location"]) == (303, "/ui/login?next=/ui/?cursor%3Dx")
    wrong = web.post("/ui/login", {"token": "millgate_wrong"})
    assert wrong.status == 401
    assert b"not a valid token" in wrong.body
    done = web.post("/ui/login?next=/ui/", {"token": token})
    assert (done.status, done.headers["Location"]) == (303, "/ui/")
    [cookie] = [line for line in done.headers.get_all("Set-Cookie") or [] if "session" in line]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert token not in cookie
    page = web.get("/ui/")
    assert page.status == 200
    assert b"first (read only)" in page.body
    assert web.get("/api/factories").status == 200
    assert manage_tokens(database_url, "revoke", "first").returncode == 0
    assert web.get("/api/factories").status == 401
    assert web.get("/ui/").status == 303


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "https://evil.example/", "/ui/..\\evil", "/\\evil"])
def test_a_login_leads_nowhere_else(locked: ApiServer, database_url: str, elsewhere: str) -> None:
    token = make_token(database_url, "first", "read")
    done = WebClient(locked).post(f"/ui/login?next={elsewhere}", {"token": token})
    assert (done.status, done.headers["Location"]) == (303, "/ui/")


def test_a_session_writes_only_from_pages_of_ours(locked: ApiServer, database_url: str) -> None:
    token = make_token(database_url, "first", "write")
    made = locked.call("POST", "/api/session", {"token": token})
    assert (made.status, made.json) == (200, {"name": "first", "scope": "write"})
    cookie = {"Cookie": made.headers["Set-Cookie"].partition(";")[0]}
    body = {"name": "Mill", "timezone": "UTC"}
    unsaid = locked.call("POST", "/api/factories", body, headers=cookie)
    assert (unsaid.status, unsaid.error["code"]) == (403, "CROSS_ORIGIN")
    foreign = locked.call("POST", "/api/factories", body, headers={**cookie, "Sec-Fetch-Site": "cross-site"})
    assert foreign.error["code"] == "CROSS_ORIGIN"
    ours = {**cookie, "Sec-Fetch-Site": "same-origin"}
    assert locked.call("POST", "/api/factories", body, headers=ours).status == 201
    assert locked.call("POST", "/api/factories", body, headers=bearer(token)).status == 201
    ended = locked.call("DELETE", "/api/session", headers=ours)
    assert ended.status == 204
    assert "Max-Age=0" in ended.headers["Set-Cookie"]


def test_a_session_of_a_reading_token_does_not_write(locked: ApiServer, database_url: str) -> None:
    token = make_token(database_url, "first", "read")
    made = locked.call("POST", "/api/session", {"token": token})
    headers = {"Cookie": made.headers["Set-Cookie"].partition(";")[0], "Sec-Fetch-Site": "same-origin"}
    refused = locked.call("POST", "/api/factories", {"name": "Mill"}, headers=headers)
    assert (refused.status, refused.error["code"]) == (403, "FORBIDDEN")


def test_a_form_without_its_csrf_token_changes_nothing(locked: ApiServer, database_url: str) -> None:
    token = make_token(database_url, "first", "write")
    refused = WebClient(locked).post_as_is("/ui/login", {"token": token})
    assert refused.status == 400
    assert b"Nothing was changed" in refused.body
    assert token.encode() not in refused.body


def test_without_its_database_a_page_claims_nothing(start_api: Start, own_postgres: EmbeddedPostgres) -> None:
    web = WebClient(start_api(own_postgres.url()))
    assert web.get("/ui/").status == 200
    own_postgres.stop()
    page = web.get("/ui/")
    assert page.status == 500
    assert b"Millgate cannot see its database" in page.body
    assert b"data-state" not in page.body
    assert b"data-count" not in page.body
