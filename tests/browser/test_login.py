"""Where tokens are required: logging in with one, what it may do, and its end."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext
from tests.support.api.tokens import bearer, make_token, manage_tokens
from tests.support.api_server import gateway_body
from tests.support.browser import WatchedContext, serious_findings
from tests.support.full_stack import FullStack

BROWSER_KEEPS = "() => JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[FullStack]:
    with FullStack(database_url, tmp_path, {"AUTH": "required"}) as running:
        yield running


def log_in(page: Page, token: str) -> None:
    page.goto("/ui/")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_a_token_opens_the_page_until_it_is_revoked(
    context: WatchedContext, page: Page, stack: FullStack
) -> None:
    token = make_token(stack.database_url, "Ada", "write")
    context.allow("status of 40[14]")
    log_in(page, "not a token")
    expect(page.get_by_label("Token")).to_have_accessible_description(re.compile("not a valid token"))
    assert serious_findings(page) == []
    log_in(page, token)
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    expect(page.get_by_role("banner")).to_contain_text("Ada")
    (cookie,) = context.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert token not in page.evaluate(BROWSER_KEEPS)

    page.get_by_role("button", name="Log out").click()
    page.goto("/ui/gateways?state=retrying")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    # Back to where it was asked for.
    page.wait_for_url("**/ui/gateways?state=retrying")

    assert manage_tokens(stack.database_url, "revoke", "Ada").returncode == 0
    page.goto("/ui/")
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_read_token_is_shown_nothing_that_writes(
    open_context: OpenContext, page: Page, stack: FullStack
) -> None:
    writer = bearer(make_token(stack.database_url, "writer", "write"))
    factory = stack.api.call("POST", "/api/factories", {"name": "Mill"}, headers=writer).json["id"]
    gateway = stack.api.call("POST", "/api/gateways", gateway_body(factory), headers=writer).json["id"]
    log_in(page, make_token(stack.database_url, "reader", "read"))
    expect(page.get_by_role("banner")).to_contain_text("read only")
    names = ("", "gateways", f"gateways/{gateway}", "factories", "import", "workers", "deleted", "help")
    for name in names:
        page.goto(f"/ui/{name}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("main form[method=post]")).to_have_count(0)
        expect(page.locator("main [data-writes]")).to_have_count(0)
