"""An import whose mistakes are shown by line, then corrected."""

from playwright.sync_api import FilePayload, Page, expect

from tests.support.browser import WatchedContext, serious_findings
from tests.support.full_stack import FullStack
from tests.support.worker_settings import EMAIL, PASSWORD

HEADER = "factory_id,gateway_id,name,url,email,password"


def file_of(*lines: str) -> FilePayload:
    return {"name": "gateways.csv", "mimeType": "text/csv", "buffer": "\n".join((HEADER, *lines)).encode()}


def test_mistakes_are_shown_by_line_and_a_corrected_file_is_imported(
    context: WatchedContext, page: Page, stack: FullStack
) -> None:
    context.allow("status of 400")
    site = stack.start_site("CTC-1", "CTC-2")
    factory = stack.api.factory()["id"]
    good = [
        f"{factory},{gateway.gateway_id},Hall {number},{gateway.url},{EMAIL},{PASSWORD}"
        for number, gateway in enumerate(site.gateways, 1)
    ]
    bad = [good[0], good[1].replace("ws://", "ftp://"), f"{factory},CTC-3,,ws://127.0.0.1:9,nobody,"]
    page.goto("/ui/import")
    page.get_by_label("CSV file").set_input_files(file_of(*bad))
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#mistakes")).to_contain_text("url")
    lines = page.locator("#mistakes tbody tr td:first-child").all_inner_texts()
    assert set(lines) == {"3", "4"}
    assert serious_findings(page) == []
    assert PASSWORD not in page.content()
    assert stack.api.call("GET", "/api/gateways").json["data"] == []

    page.get_by_label("CSV file").set_input_files(file_of(*good))
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#result")).to_contain_text("2 gateways can be imported")
    assert stack.api.call("GET", "/api/gateways").json["data"] == []
    page.get_by_label("CSV file").set_input_files(file_of(*good))
    page.get_by_role("button", name="Import 2").click()
    expect(page.get_by_role("status").first).to_contain_text("2 gateways were imported")
    expect(page.locator("#gateways [data-state=connected]")).to_have_count(2)
