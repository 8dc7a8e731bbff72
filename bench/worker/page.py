"""Row: the operators' page at ten thousand gateways, in a Chromium whose CPU is slowed down four times."""

import os
import shutil
from itertools import islice
from time import monotonic
from typing import Any

from playwright.sync_api import Page, sync_playwright

from bench.environment import BenchEnvironment
from bench.results import Section
from bench.tools import ToolMissingError
from bench.worker.figures import Measured, figures, goals, quantile
from bench.worker.gateway_fleet import GatewayFleet
from bench.worker.managers import MILLGATE, Millgate
from devstack.errors import StackError

GATEWAYS, QUICK_GATEWAYS = 10_000, 1000
LIMIT_S = 120.0
SLOWER = 4
OPENINGS = 5
CHANGES, QUICK_CHANGES = 30, 5
BETWEEN_CHANGES_S = 1.5
# A page, a list and a search each; of the page of one gateway, what changes.
LOADED = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const files = performance.getEntriesByType("resource").filter((each) => each.initiatorType !== "fetch");
    return {
        paintMs: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN,
        rowsMs: page.domContentLoadedEventEnd,
        bytes: [page, ...files].reduce((sum, each) => sum + each.transferSize, 0),
        files: files.length + 1,
    };
}"""
NEWEST = "() => document.querySelector('#transitions tbody tr')?.id ?? ''"
IS_NEWER = "(before) => (document.querySelector('#transitions tbody tr')?.id ?? '') !== before"


def measure(env: BenchEnvironment) -> Section:
    """First visits, a search, and how soon a transition at a gateway is on its page."""
    path = shutil.which("chromium")
    if path is None:
        raise ToolMissingError("there is no Chromium")
    count = QUICK_GATEWAYS if env.is_quick else GATEWAYS
    title = f"page, {count:,} gateways, CPU {SLOWER} times slower"
    paint = Measured(f"{title}: first contentful paint", "s", wanted=0.8)
    rows = Measured(f"{title}: rows of the list", "s", wanted=1.5)
    search = Measured(f"{title}: search, Enter to rows", "s", wanted=0.4)
    size = Measured(f"{title}: first visit", "KB", wanted=100)
    files = Measured(f"{title}: files", "", wanted=12)
    middle = Measured(f"{title}: transition in the page, median", "s", wanted=0.6)
    late = Measured(f"{title}: transition in the page, p95", "s", wanted=1.2)
    manager = Millgate(env, GatewayFleet(env, count))
    manager.start()
    if env.wait(lambda: manager.count_connected() >= count, LIMIT_S) is None:
        raise StackError("not all gateways were shown connected")
    manager.serve_status()
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        for _ in range(OPENINGS):
            page = _open(browser, manager)
            first = _visit(page, "/ui/gateways")
            paint.add(MILLGATE, first["paintMs"] / 1000)
            rows.add(MILLGATE, first["rowsMs"] / 1000)
            size.add(MILLGATE, first["bytes"] / 1000)
            files.add(MILLGATE, first["files"])
            search.add(MILLGATE, _search(page, manager.fleet.names[count // 2]))
            page.context.close()
        delays = _follow(env, _open(browser, manager), manager, QUICK_CHANGES if env.is_quick else CHANGES)
        browser.close()
    middle.add(MILLGATE, quantile(delays, 0.5))
    late.add(MILLGATE, quantile(delays, 0.95))
    manager.close()
    measured = [paint, rows, search, size, files, middle, late]
    return Section(
        f"Page: {count:,} gateways", "", figures(measured, [MILLGATE]), goals(measured, [MILLGATE], "")
    )


def _open(browser: Any, manager: Millgate) -> Page:
    """A tab that has never been there, on a slow machine."""
    context = browser.new_context(base_url=manager.base_url)
    page: Page = context.new_page()
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    return page


def _visit(page: Page, path: str) -> dict[str, float]:
    page.goto(path, wait_until="load")
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
    loaded: dict[str, float] = page.evaluate(LOADED)
    return loaded


def _search(page: Page, name: str) -> float:
    """Seconds from Enter to the row."""
    page.locator("#q").fill(name)
    began = monotonic()
    page.locator("#q").press("Enter")
    page.wait_for_url("**q=*")
    page.locator("#gateways tbody tr").first.wait_for()
    return monotonic() - began


def _follow(env: BenchEnvironment, page: Page, manager: Millgate, changes: int) -> list[float]:
    """Seconds from each cut at a gateway to the transition in its page.

    Each time another one: of a gateway that is cut again and again the worker waits longer each time.
    """
    found: list[float] = []
    for name in islice(manager.fleet.names, changes):
        page.goto(f"/ui/gateways/{manager.row_id(name)}")
        page.locator("#status [data-state=connected]").wait_for()
        env.pause(BETWEEN_CHANGES_S)
        before = page.evaluate(NEWEST)
        began = manager.fleet.cut([name])
        page.wait_for_function(IS_NEWER, arg=before, polling=20)
        found.append(monotonic() - began)
    return found
