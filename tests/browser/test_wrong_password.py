"""A gateway whose password is wrong: the page says so and what to do; with the right one it connects."""

from playwright.sync_api import Page, expect

from tests.support.full_stack import FullStack
from tests.support.worker_settings import PASSWORD

WRONG = "an old password"


def test_the_page_says_what_to_do_until_it_is_done(page: Page, stack: FullStack) -> None:
    site = stack.start_site("CTC-1")
    row_id = stack.register(stack.api.factory()["id"], site.gateways[0], password=WRONG)
    stack.wait_for_state(row_id, "auth_failed")
    page.goto(f"/ui/gateways/{row_id}")
    expect(page.locator("#status [data-state]")).to_have_attribute("data-state", "auth_failed")
    expect(page.locator("#status")).to_contain_text("login refused")
    expect(page.locator("#why")).to_contain_text("login_rejected")
    expect(page.locator("#what-to-do")).to_contain_text("password")

    stack.api.call("PATCH", f"/api/gateways/{row_id}", {"password": PASSWORD})
    expect(page.locator("#status")).to_contain_text("is connected")
    expect(page.locator("#why")).to_have_count(0)
    assert WRONG not in page.content()
    assert PASSWORD not in page.content()
