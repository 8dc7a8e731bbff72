"""A newcomer's way from an empty fleet to a connected gateway, and what people do with it afterwards."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext
from tests.support.browser import DESKTOP, PHONE, WatchedContext
from tests.support.full_stack import FullStack
from tests.support.worker_settings import EMAIL, PASSWORD

WRONG = "an old password"


def fill_gateway(page: Page, url: str, password: str) -> None:
    """Fill the form of a new gateway, and send it."""
    page.get_by_label("Gateway id").fill("CTC-1")
    page.get_by_label("Name", exact=True).fill("Press section")
    page.get_by_label("Address").fill(url)
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Add").click()


def test_from_an_empty_fleet_to_a_connected_gateway(
    context: WatchedContext, page: Page, stack: FullStack
) -> None:
    # The form with mistakes.
    context.allow("status of 400")
    site = stack.start_site("CTC-1")
    page.goto("/")
    expect(page).to_have_url(f"{stack.origin}/ui/")
    expect(page.get_by_role("main")).to_contain_text("No gateway yet")
    page.get_by_role("main").get_by_role("link", name="Add one").first.click()
    # It needs a factory first.
    page.get_by_role("main").get_by_role("link", name="Add a factory").click()
    page.get_by_label("Name", exact=True).fill("Paper mill")
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status").first).to_contain_text("Paper mill was added")

    page.get_by_role("navigation").get_by_role("link", name="Gateways", exact=True).click()
    page.get_by_role("main").get_by_role("link", name="Add one").click()
    fill_gateway(page, "http://not-a-websocket", PASSWORD)
    field = page.get_by_label("Address")
    expect(field).to_have_class("form-control is-invalid")
    expect(field).to_have_value("http://not-a-websocket")
    expect(page.get_by_label("Password")).to_have_value("")
    fill_gateway(page, site.gateways[0].url, PASSWORD)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Press section")
    # Without a reload.
    expect(page.locator("#status .word")).to_have_text("connected")
    expect(page.locator("#claim")).to_contain_text("Press section is connected")
    assert PASSWORD not in page.content()

    page.get_by_role("link", name="Millgate").click()
    expect(page.locator("[data-count=connected]")).to_have_text("1")
    expect(page.get_by_role("table")).to_contain_text("Paper mill")


def test_a_wrong_password_is_said_and_mended(page: Page, stack: FullStack) -> None:
    site = stack.start_site("CTC-1")
    row_id = stack.register(stack.api.factory()["id"], site.gateways[0], password=WRONG)
    page.goto(f"/ui/gateways/{row_id}")
    status = page.locator("#status [data-state]")
    expect(status).to_have_attribute("data-state", "auth_failed")
    expect(status).to_contain_text("login refused")
    expect(page.locator("#why")).to_contain_text("login_rejected")
    expect(page.locator("#what-to-do")).to_contain_text("password")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Password")).to_have_value("")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#claim")).to_contain_text("is connected")
    expect(page.locator("#why")).to_have_count(0)
    assert WRONG not in page.content()
    assert PASSWORD not in page.content()


def test_what_was_deleted_can_be_restored(open_context: OpenContext, stack: FullStack) -> None:
    site = stack.start_site("CTC-1")
    row_id = stack.register(stack.api.factory()["id"], site.gateways[0], name="Press section")
    for size in (DESKTOP, PHONE):
        stack.wait_for_state(row_id, "connected")
        page = open_context(size=size).open(f"/ui/gateways/{row_id}")
        page.get_by_text("Delete", exact=True).click()
        page.get_by_role("button", name="Delete Press section").click()
        expect(page.get_by_role("status").first).to_contain_text("Press section was deleted")
        expect(page.locator("#gateways")).to_contain_text("No gateway yet")
        page.get_by_role("navigation").get_by_role("link", name="Deleted").click()
        page.get_by_role("row", name="Press section").get_by_role("button", name="Restore").click()
        expect(page.locator("#claim")).to_contain_text("is connected")
        page.close()


def test_some_gateways_are_disconnected_and_all_of_a_factory_connected(page: Page, stack: FullStack) -> None:
    site = stack.start_site("CTC-1", "CTC-2", "CTC-3")
    factory = stack.api.factory()["id"]
    ids = [stack.register(factory, gateway, name=gateway.gateway_id) for gateway in site.gateways]
    for row_id in ids:
        stack.wait_for_state(row_id, "connected")
    page.goto(f"/ui/gateways?factory_id={factory}")
    page.get_by_label("Select CTC-1").check()
    page.get_by_label("Select CTC-3").check()
    page.get_by_role("button", name="Disconnect", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("2 asked to disconnect")
    expect(page.locator("#gateways [data-state=disconnected]")).to_have_count(2)
    expect(page.get_by_role("row", name="CTC-2").locator("[data-state]")).to_have_text("connected")
    page.get_by_role("button", name="Connect all", exact=True).click()
    expect(page.locator("#gateways [data-state=connected]")).to_have_count(3)
