"""The page claims nothing that nobody vouches for, whatever fails; and it recovers by itself."""

import os
import re
import signal
import time
from pathlib import Path

import psycopg
from playwright.sync_api import Browser, Locator, Page, Request, expect

from devstack.postgres.server import EmbeddedPostgres
from tests.browser.conftest import OpenContext
from tests.support.api.tokens import make_token, manage_tokens
from tests.support.browser import WatchedContext, serious_findings
from tests.support.full_stack import FullStack
from tests.support.waiting import wait_until

# The page promises 10 s, 26 s and 5 s; a busy machine gets as much again.
STALE_MS, NOT_KNOWN_MS, BACK_MS = 20_000, 50_000, 15_000
# Chromium reports each request that fails.
FAILED_REQUESTS = r"Failed to load resource|net::ERR"
WAS_CONNECTED = re.compile(r"^was connected, \d+ s ago$")
TABS = 12
STORM, STORM_S = 3000, 5.0
ONE_TRANSITION = """
    INSERT INTO gateway_events (
        gateway_id, at, from_state, to_state, attempt, reason_code, reason_message, reason_phase
    )
    SELECT %s, now(), 'connected', 'retrying', 1, 'connection_lost', 'storm', 'session'
    FROM generate_series(1, %s)
"""
REMEMBER_DOUBT = """() => {
    const live = document.getElementById("live");
    new MutationObserver(() => { window.hasDoubted ||= /stale|not-known/.test(live.className); })
        .observe(live, { attributeFilter: ["class"] });
}"""


def connect_one(stack: FullStack) -> str:
    """Add a gateway; return its id when it is connected."""
    site = stack.start_site("CTC-1")
    row_id = stack.register(stack.api.factory()["id"], site.gateways[0], name="Kiln 2")
    stack.wait_for_state(row_id, "connected")
    return row_id


def open_gateway(context: WatchedContext, row_id: str) -> Page:
    """Open the page of a connected gateway."""
    context.allow(FAILED_REQUESTS)
    page = context.open(f"/ui/gateways/{row_id}")
    expect(state_on(page)).to_have_text("connected")
    return page


def state_on(page: Page) -> Locator:
    """Where the page says the state of its gateway."""
    return page.locator("#live .state .word").first


def expect_stale(page: Page, reason: str) -> None:
    """Nothing is claimed for the present, and nothing can be written; everybody can perceive that."""
    expect(page.locator("#banner")).to_contain_text(reason, timeout=STALE_MS)
    expect(page.locator("#live")).to_have_class(re.compile("stale|not-known"), timeout=STALE_MS)
    expect(state_on(page)).to_have_text(WAS_CONNECTED)
    button = page.get_by_role("button", name="Disconnect")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", re.compile(reason))
    assert serious_findings(page) == []


def expect_fresh(page: Page, state: str = "connected") -> None:
    """What the server says counts again."""
    expect(page.locator("#banner")).to_be_hidden(timeout=BACK_MS)
    expect(state_on(page)).to_have_text(state, timeout=BACK_MS)
    expect(page.get_by_role("button", name="Disconnect")).to_be_enabled()


def test_a_killed_api_makes_the_page_stale_then_silent_and_it_recovers(
    stack: FullStack, context: WatchedContext
) -> None:
    page = open_gateway(context, connect_one(stack))
    stack.api.kill()
    expect_stale(page, "Millgate does not answer")
    expect(state_on(page)).to_have_text("not known here", timeout=NOT_KNOWN_MS)
    expect(page.locator("#claim")).to_have_text("Not known here.")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert serious_findings(page) == []
    with stack.api:
        expect_fresh(page)


def test_a_frozen_api_makes_the_page_stale(stack: FullStack, context: WatchedContext) -> None:
    page = open_gateway(context, connect_one(stack))
    assert stack.api.process is not None
    os.killpg(stack.api.process.pid, signal.SIGSTOP)
    try:
        expect_stale(page, "Millgate does not answer")
    finally:
        os.killpg(stack.api.process.pid, signal.SIGCONT)
    expect_fresh(page)


def test_without_its_database_millgate_says_so(
    browser: Browser, own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with (
        FullStack(own_postgres.url(), tmp_path) as stack,
        WatchedContext(browser, stack.origin) as context,
    ):
        page = open_gateway(context, connect_one(stack))
        own_postgres.stop()
        expect_stale(page, "Millgate cannot see its database since")
        own_postgres.start()
        expect(page.locator("#banner")).to_be_hidden(timeout=BACK_MS)
        # Until its worker reports again, nobody knows.
        expect(state_on(page)).to_have_text("connected", timeout=NOT_KNOWN_MS)


def test_without_a_worker_nobody_can_vouch(stack: FullStack, context: WatchedContext) -> None:
    page = open_gateway(context, connect_one(stack))
    stack.worker.kill()
    expect(state_on(page)).to_have_text("unknown", timeout=STALE_MS)
    expect(page.locator("#no-worker")).to_contain_text("nobody can vouch")


def test_a_revoked_token_takes_the_states_back(browser: Browser, database_url: str, tmp_path: Path) -> None:
    with FullStack(database_url, tmp_path, {"AUTH": "required"}) as stack:
        token = make_token(database_url, "Ada", "write")
        with WatchedContext(browser, stack.origin) as context:
            context.allow(FAILED_REQUESTS)
            page = context.open("/ui/")
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Log in").click()
            expect(page.locator("#as-of")).to_contain_text("ago")
            assert manage_tokens(database_url, "revoke", "Ada").returncode == 0
            expect(page.locator("#banner")).to_contain_text("You are logged out", timeout=STALE_MS)
            expect(page.locator("#live")).to_have_class(re.compile("stale|not-known"))
            page.locator("#banner").get_by_role("link", name="Log in").click()
            expect(page.get_by_label("Token")).to_be_visible()


def test_after_a_sleep_the_page_doubts_at_once(stack: FullStack, context: WatchedContext) -> None:
    page = open_gateway(context, connect_one(stack))
    page.evaluate(REMEMBER_DOUBT)
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 60_000; }")
    page.wait_for_function("() => window.hasDoubted", timeout=BACK_MS)
    expect_fresh(page)


def test_tabs_share_one_stream_and_another_takes_over(stack: FullStack, context: WatchedContext) -> None:
    row_id = connect_one(stack)
    streams: list[Request] = []
    context.context.on("request", lambda request: note_stream(streams, request))
    tabs = [open_gateway(context, row_id) for _ in range(TABS)]
    for tab in tabs:
        expect(tab.locator("#as-of")).to_contain_text("ago")
    leader = streams[0].frame.page
    assert {request.frame.page for request in streams} == {leader}
    leader.close()
    wait_until(lambda: len(streams) == 2 or pumped(tabs), 20, "another tab to follow")
    others = [tab for tab in tabs if tab is not leader]
    stack.api.call("POST", f"/api/gateways/{row_id}/disconnect")
    for tab in others:
        expect(state_on(tab)).to_have_text("off", timeout=STALE_MS)
    assert len(streams) == 2


def note_stream(streams: list[Request], request: Request) -> None:
    """Keep requests for the stream of events."""
    if request.url.endswith("/api/events"):
        streams.append(request)


def pumped(tabs: list[Page]) -> bool:
    """Let Playwright hand over what happened meanwhile."""
    tabs[-1].evaluate("() => 0")
    return False


def test_a_storm_of_transitions_costs_a_fetch_a_second_and_is_right_in_the_end(
    stack: FullStack, context: WatchedContext
) -> None:
    row_id = connect_one(stack)
    page = open_gateway(context, row_id)
    expect(page.locator("#as-of")).to_contain_text("ago")
    fetches: list[Request] = []
    page.on("request", lambda request: fetches.append(request) if "/ui/" in request.url else None)
    begun = time.monotonic()
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        while time.monotonic() - begun < STORM_S:
            database.execute(ONE_TRANSITION, [row_id, STORM // 50])
            pumped([page])
    stack.api.call("POST", f"/api/gateways/{row_id}/disconnect")
    expect(state_on(page)).to_have_text("off", timeout=STALE_MS)
    took = time.monotonic() - begun
    assert STORM_S - 2 <= len(fetches) <= took + 2


def test_keys_lead_through_the_page(open_context: OpenContext, stack: FullStack) -> None:
    context = open_context()
    row_id = connect_one(stack)
    page = context.open("/ui/")
    expect(page.locator("#factories")).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("jk")
    expect(page.locator("#search")).to_have_value("jk")
    page.keyboard.press("Escape")
    expect(page.locator("#search")).not_to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("tbody tr a").first).to_be_focused()
    # What is focused stays so when the page is fetched again.
    with page.expect_response(lambda response: response.request.headers.get("millgate-fragment") == "1"):
        page.keyboard.press("r")
    stack.api.call("POST", f"/api/gateways/{row_id}/disconnect")
    expect(page.locator("[data-count=disconnected]")).to_have_text("1", timeout=STALE_MS)
    expect(page.locator("tbody tr a").first).to_be_focused()
