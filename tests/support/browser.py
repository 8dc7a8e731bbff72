"""Debian's Chromium, driven by Playwright, and the watch over what its pages must never do."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium")
NO_CHROMIUM = "Chromium is not installed; `apt-get install chromium` enables the browser tests"
DESKTOP = (1280, 800)
PHONE = (360, 740)
TIMEOUT_S = 15.0
# Values of axe's impact that keep people from using the page.
SERIOUS = {"serious", "critical"}
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
    reportViolation(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`));
"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium. Needs CHROMIUM.

    While it runs, its thread has a running event loop: nothing else in that thread may call `asyncio.run`.
    """
    # Chromium's own sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class WatchedContext:
    """A browser context with its own cookies. Leaving it fails if a page misbehaved.

    Misbehaviour: console errors and warnings, uncaught exceptions, violations of the content security policy,
    and requests to another origin than `origin`.
    """

    def __init__(
        self, browser: Browser, origin: str, size: tuple[int, int] = DESKTOP, **options: Any
    ) -> None:
        """`options`: of Playwright's `new_context`."""
        width, height = size
        self.origin = origin
        self.faults: list[str] = []
        self._allowed: list[str] = []
        self.context: BrowserContext = browser.new_context(
            base_url=origin, viewport={"width": width, "height": height}, **options
        )
        self.context.set_default_timeout(TIMEOUT_S * 1000)
        self.context.on("console", self._on_console)
        self.context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        self.context.on("request", self._on_request)
        self.context.expose_binding(
            "reportViolation", lambda _, violation: self.faults.append(f"policy violation: {violation}")
        )
        self.context.add_init_script(REPORT_VIOLATIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # A test that has failed already says what matters more.
            if kind is None:
                self.check()
        finally:
            self.context.close()

    def open(self, path: str = "/ui/") -> Page:
        """A new tab that shows a path."""
        page = self.context.new_page()
        page.goto(path)
        return page

    def allow(self, pattern: str) -> None:
        """Let faults that match this regular expression pass: those that the test itself provokes."""
        self._allowed.append(pattern)

    def check(self) -> None:
        """Fail if a page did wrong until now."""
        for page in self.context.pages:
            # What a page has still to report comes first.
            page.evaluate("() => new Promise((resolve) => setTimeout(resolve))")
        faults = [
            fault for fault in self.faults if not any(re.search(pattern, fault) for pattern in self._allowed)
        ]
        assert not faults, "\n".join(faults)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            where = message.location["url"].removeprefix(self.origin)
            self.faults.append(f"console {message.type}: {message.text} ({where})")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.faults.append(f"request to another origin: {request.url}")


def serious_findings(page: Page, rules: list[str] | None = None) -> list[str]:
    """What axe finds that keeps people from using the page; `rules`: of axe's, if not all."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = rules
    violations = Axe().run(page, options=options).response["violations"]
    return [
        f"{violation['id']}: {node['target']} {node['html'][:200]} {node.get('failureSummary', '')}"
        for violation in violations
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


def horizontal_overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate(OVERFLOW))
