"""A Chromium, and the whole stack that it looks at."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import CHROMIUM, NO_CHROMIUM, TIMEOUT_S, WatchedContext, chromium
from tests.support.full_stack import FullStack

OpenContext = Callable[..., WatchedContext]
expect.set_options(timeout=TIMEOUT_S * 1000)


def pytest_runtest_setup() -> None:
    """Skip these tests where there is no browser: in the hook, so that the report has one line for all."""
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)


# Not for the whole session: while it runs, other tests of this process could not call `asyncio.run`.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The one Chromium of these tests."""
    with chromium() as running:
        yield running


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[FullStack]:
    """An empty fleet of this test's own, with an API and a worker."""
    with FullStack(database_url, tmp_path) as running:
        yield running


@pytest.fixture
def open_context(browser: Browser, stack: FullStack) -> Iterator[OpenContext]:
    """Opens browsers with cookies of their own, as WatchedContext does; fails if a page did wrong."""
    with ExitStack() as contexts:

        def open_it(origin: str = stack.origin, **options: Any) -> WatchedContext:
            return contexts.enter_context(WatchedContext(browser, origin, **options))

        yield open_it


@pytest.fixture
def context(open_context: OpenContext) -> WatchedContext:
    """A browser of the usual size."""
    return open_context()


@pytest.fixture
def page(context: WatchedContext) -> Page:
    """Its first tab, still blank."""
    return context.context.new_page()
