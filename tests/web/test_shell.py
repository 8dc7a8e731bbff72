"""What all pages have in common: their frame, their policy, their files, their errors."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from devstack.postgres.server import EmbeddedPostgres
from tests.support.api_server import ApiServer
from tests.support.html_page import HTML, Page
from tests.support.web_client import WebClient

POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types millgate",
}
FIRST_VISIT_BYTES, FIRST_VISIT_FILES = 100_000, 12
FRAGMENT = {"Millgate-Fragment": "1"}


def links(page: Page) -> Iterator[str]:
    """The addresses on a page, whatever they are for."""
    for element in page.elements:
        for name in ("href", "src", "action"):
            if element.attributes.get(name):
                yield element.attributes[name]


def static_of(page: Page) -> set[str]:
    """What a browser loads with a page."""
    return {link for link in links(page) if "/static/" in link}


def policy_of(page: Page) -> set[str]:
    """The parts of its content security policy, of which there has to be one."""
    [policy] = page.headers.get_all("Content-Security-Policy") or []
    return {part.strip() for part in policy.split(";")}


@pytest.mark.parametrize("path", ["/ui/", "/ui/nothing"])
def test_a_page_has_one_heading_a_skip_link_and_nothing_inline(web: WebClient, path: str) -> None:
    page = web.get(path)
    assert page.one("html").attributes["lang"] == "en"
    assert len(list(page.all("h1"))) == 1
    assert page.one("a", href="#main").text == "Skip to the content"
    assert page.one("main").attributes["id"] == "main"
    assert "Fleet" in page.one("nav", aria_label="Main").text
    assert page.one("title").text.endswith("Millgate")
    for element in page.elements:
        assert "style" not in element.attributes
        assert not [name for name in element.attributes if name.startswith("on")]
        if element.tag == "script":
            assert (element.attributes["src"], element.text) == (element.attributes["src"], "")
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert not [link for link in links(page) if urlsplit(link).netloc]


@pytest.mark.req("API-04")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/ui/", 200), ("GET", "/ui/nothing", 404), ("PUT", "/ui/", 405), ("GET", "/ui//", 404)],
)
def test_a_page_runs_only_programs_of_its_own(web: WebClient, method: str, path: str, status: int) -> None:
    page = Page.of(web.call(method, path))
    assert (page.status, page.headers["Content-Type"]) == (status, HTML)
    assert policy_of(page) == POLICY
    headers = page.headers
    assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
    # A form of a page without any referrer has the origin `null`, which is not ours.
    assert headers.get_all("Referrer-Policy") == ["same-origin"]
    assert headers.get_all("Cache-Control") == ["no-store"]
    assert {"Accept-Encoding", "Millgate-Fragment"} <= set(re.split(r",\s*", headers["Vary"]))


def test_the_first_visit_is_small_and_the_second_loads_nothing_again(web: WebClient) -> None:
    page = web.get("/ui/", Accept_Encoding="gzip")
    loaded = [page, *(web.get(path, Accept_Encoding="gzip") for path in static_of(page))]
    assert {reply.status for reply in loaded} == {200}
    assert len(loaded) <= FIRST_VISIT_FILES
    assert sum(len(reply.body) for reply in loaded) <= FIRST_VISIT_BYTES
    for reply in loaded[1:]:
        assert reply.headers.get_all("Cache-Control") == ["public, max-age=31536000, immutable"]
        assert reply.headers["Set-Cookie"] is None


def test_a_file_is_sent_compressed_or_not_as_it_is_asked_for(api: ApiServer, web: WebClient) -> None:
    for path in static_of(web.get("/ui/")):
        packed = api.call("GET", path, headers={"Accept-Encoding": "br;q=1, gzip;q=0.5"})
        plain = api.call("GET", path, headers={"Accept-Encoding": "gzip;q=0"})
        assert (packed.headers["Content-Encoding"], plain.headers["Content-Encoding"]) == ("gzip", None)
        assert gzip.decompress(packed.body) == plain.body
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert "Accept-Encoding" in plain.headers["Vary"]


@pytest.mark.parametrize("name", ["nothing.css", "..%2Finstall.py", "..", "%00"])
def test_no_other_file_is_served(web: WebClient, name: str) -> None:
    [css] = [path for path in static_of(web.get("/ui/")) if path.endswith("millgate.css")]
    assert web.get(css.replace("millgate.css", name)).status == 404


def test_a_file_of_another_version_is_not_kept(web: WebClient) -> None:
    """A page of another process, of a version before or after, may ask for it."""
    [css] = [path for path in static_of(web.get("/ui/")) if path.endswith("millgate.css")]
    reply = web.call("GET", re.sub(r"static/[^/]+/", "static/000000000000/", css))
    assert reply.headers.get_all("Cache-Control") == ["no-store"]


def test_the_api_is_as_it_was(api: ApiServer) -> None:
    """Neither compressed nor with a cookie, however many gateways there are and whatever a browser asks."""
    factory = api.factory()
    for number in range(20):
        api.gateway(factory["id"], f"CTC-{number}")
    browser = {"Accept": "text/html,*/*;q=0.8", "Accept-Encoding": "gzip"}
    for path in ("/api/gateways?limit=100", "/api/docs", "/api/openapi.json", "/metrics", "/api/nothing"):
        reply = api.call("GET", path, headers=browser)
        assert reply.headers["Content-Encoding"] is None
        assert reply.headers["Set-Cookie"] is None
        assert "trusted-types" not in reply.headers["Content-Security-Policy"]
        assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert api.call("GET", "/api/nothing", headers=browser).error["code"] == "NOT_FOUND"


def test_browsers_are_led_to_the_page_and_programs_see_what_they_saw(api: ApiServer) -> None:
    for path in ("/", "/ui"):
        reply = api.call("GET", path, headers={"Accept": "text/html,*/*;q=0.8"})
        assert (reply.status // 100, reply.headers["Location"]) == (3, "/ui/")
    for accept in ("*/*", "application/json", "text/*;q=0.1", "text/html;q=0"):
        reply = api.call("GET", "/", headers={"Accept": accept})
        assert (reply.status, reply.error["code"]) == (404, "NOT_FOUND")
    assert api.call("GET", "/").error["code"] == "NOT_FOUND"


@pytest.mark.req("API-06")
def test_an_error_is_a_page_with_the_status_and_words_of_the_apis(web: WebClient) -> None:
    for method, path, like in (
        ("GET", "/ui/nothing", "/api/nothing"),
        ("GET", "/ui/?cursor=x", "/api/status/summary?cursor=x"),
        ("PUT", "/ui/", "/api/factories"),
    ):
        page, of_api = Page.of(web.call(method, path)), web.server.call(method, like)
        assert page.status == of_api.status
        assert of_api.error["message"] in page.text
        assert page.headers["X-Request-ID"] in page.text
        assert page.headers["Allow"] is None or "GET" in page.headers["Allow"]
        assert not list(page.all("span", class_="state"))


def test_without_its_database_a_page_claims_nothing(
    start_api: Callable[..., ApiServer], own_postgres: EmbeddedPostgres
) -> None:
    api = start_api(own_postgres.url())
    api.gateway(api.factory()["id"])
    web = WebClient(api)
    assert web.get("/ui/").status == 200
    own_postgres.stop()
    like = api.call("GET", "/api/status/summary")
    for headers in ({}, FRAGMENT):
        page = web.get("/ui/", **headers)
        assert page.status == like.status
        assert "Millgate cannot see its database" in page.text
        assert like.error["message"] in page.text
        assert not [each for each in page.elements if {"data-state", "data-count"} & each.attributes.keys()]
        assert policy_of(page) == POLICY


def test_the_live_part_is_that_of_the_page(web: WebClient) -> None:
    web.server.gateway(web.server.factory()["id"])
    page, part = web.get("/ui/"), web.get("/ui/", **FRAGMENT)
    assert not list(part.all("html"))
    line = page.one("p", id="status-line").attributes
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["data-as-of"])
    assert line["data-live-workers"] == "0"
    assert "nobody can vouch" in part.text
    assert line["data-version"] == part.one("p", id="status-line").attributes["data-version"]
    without_times = [re.sub(r"\d{2}:\d{2}:\d{2}(\.\d{3}Z)?", "", each.html) for each in (page, part)]
    assert without_times[1].strip() in without_times[0]


def test_addresses_have_the_prefix_that_a_proxy_took_away(start_api: Callable[..., ApiServer]) -> None:
    proxied = {"X-Forwarded-Prefix": "/plant/7", "X-Forwarded-For": "10.0.0.1"}
    web = WebClient(start_api(TRUSTED_PROXIES="1"), proxied)
    page = web.get("/ui/")
    assert static_of(page)
    assert not [link for link in links(page) if not link.startswith(("/plant/7/", "#"))]
    assert web.get("/").location == "/plant/7/ui/"


def test_a_form_that_no_page_of_ours_sent_is_refused(start_api: Callable[..., ApiServer]) -> None:
    web = WebClient(start_api(AUTH="required"))
    page = web.get("/ui/login")
    made = next(page.all("input", name="csrf_token")).attributes["value"]
    refused = web.post_as_is("/ui/login", {"token": "x"})
    assert (refused.status, "Nothing was changed" in refused.text) == (400, True)
    assert web.post_as_is("/ui/login", {"token": "x", "csrf_token": f"{made}x"}).status == 400
    other = WebClient(web.server)
    assert other.post_as_is("/ui/login", {"token": "x", "csrf_token": made}).status == 400
    elsewhere = web.submit(page, "/ui/login", {"token": "x"}, Sec_Fetch_Site="cross-site")
    assert elsewhere.status == 403
    assert web.submit(page, "/ui/login", {"token": "x"}).status == 401


def test_what_is_asked_for_is_shown_as_text(web: WebClient) -> None:
    name = "<script>alert(1)</script>\"'&{{7*7}}"
    web.server.gateway(web.server.factory(name=name)["id"], name=name)
    page = web.get("/ui/")
    assert name in page.text
    assert "<script>alert" not in page.html
    assert json.dumps(name) not in page.html
    asked = web.get("/ui/%3Cscript%3E?q=%3Cscript%3Ealert(1)%3C/script%3E%22%20autofocus")
    assert "<script>alert" not in asked.html
    assert not [each for each in asked.elements if "autofocus" in each.attributes]
