"""Everything can be reached and done with the keyboard alone."""

from playwright.sync_api import Locator, Page, expect

from tests.support.full_stack import FullStack

MOST_TABS = 60
FOCUSED = "(element) => element === document.activeElement"
OUTLINE = "(element) => getComputedStyle(element).outlineStyle"


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, which must be visible."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if target.evaluate(FOCUSED):
            assert target.evaluate(OUTLINE) != "none"
            return
    raise AssertionError(f"{MOST_TABS} tabs did not lead to {target}")


def test_a_gateway_is_disconnected_and_connected(page: Page, stack: FullStack) -> None:
    site = stack.start_site("CTC-1")
    row_id = stack.register(stack.api.factory()["id"], site.gateways[0], name="Press section")
    stack.wait_for_state(row_id, "connected")
    page.goto(f"/ui/gateways/{row_id}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()

    tab_to(page, page.get_by_role("button", name="Disconnect"))
    page.keyboard.press("Enter")
    expect(page.locator("#desired")).to_have_text("off")
    stack.wait_for_state(row_id, "disconnected")

    tab_to(page, page.get_by_role("button", name="Connect now"))
    page.keyboard.press("Enter")
    expect(page.locator("#desired")).to_have_text("connected")
    stack.wait_for_state(row_id, "connected")
