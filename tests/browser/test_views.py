"""Every view, light and dark, on a desk and on a phone: for everybody, and without anything of elsewhere."""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenContext
from tests.browser.fleet import Fleet, make_fleet
from tests.support.browser import DESKTOP, PHONE, horizontal_overflow, serious_findings
from tests.support.database_server import cloned_database
from tests.support.full_stack import FullStack
from tests.support.worker_settings import PASSWORD

VIEWS = (
    "/ui/",
    "/ui/gateways/{Packing line}",
    "/ui/gateways/{Press section}",
    "/ui/gateways/{Packing line}/test",
    "/ui/gateways/{Press section}/edit",
    "/ui/gateways",
    "/ui/gateways?state=retrying,auth_failed&factory_id={Cement works}",
    "/ui/gateways?q=nothing-is-called-that",
    "/ui/gateways/new",
    "/ui/import",
    "/ui/deleted",
    "/ui/factories",
    "/ui/factories/new",
    "/ui/factories/{Paper mill}/edit",
    "/ui/factories/{Paper mill}/delete",
    "/ui/workers",
    "/ui/help",
)
LANDMARKS = "() => [document.querySelectorAll('h1').length, document.querySelectorAll('main').length]"


@pytest.fixture(scope="module")
def stack(
    server_admin: psycopg.Connection, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FullStack]:
    """One for all views: they are only looked at."""
    with (
        cloned_database(server_admin, server_url) as url,
        FullStack(url, tmp_path_factory.mktemp("stack")) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def fleet(stack: FullStack) -> Fleet:
    return make_fleet(stack)


def path_of(view: str, fleet: Fleet) -> str:
    return view.format_map({**fleet.factories, **fleet.gateways})


@pytest.mark.parametrize("view", VIEWS)
def test_everybody_can_use_it(view: str, page: Page, fleet: Fleet) -> None:
    response = page.goto(path_of(view, fleet))
    assert response is not None
    assert response.status == 200
    assert page.evaluate(LANDMARKS) == [1, 1]
    findings = []
    for width, height in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        assert horizontal_overflow(page) == 0, width
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        findings += serious_findings(page)
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        # Everything else is the same in the dark.
        findings += serious_findings(page, rules=["color-contrast"])
    assert not findings, "\n".join(findings)


def test_no_page_contains_a_password(stack: FullStack, fleet: Fleet) -> None:
    for view in VIEWS:
        reply = stack.api.call("GET", path_of(view, fleet).replace(" ", "%20"))
        assert reply.status == 200, view
        assert PASSWORD.encode() not in reply.body, view


def test_a_missing_page_is_a_page(open_context: OpenContext, fleet: Fleet) -> None:
    context = open_context()
    context.allow("status of 404")
    page = context.open("/ui/nothing")
    assert serious_findings(page) == []
    assert page.evaluate(LANDMARKS) == [1, 1]
