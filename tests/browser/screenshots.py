"""`make screenshots`: pictures of the page for the documents, of a real stack with a made-up fleet."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psycopg
from playwright.sync_api import Browser, Page, expect

from devstack.project import PROJECT
from devstack.terminal import show_any_character
from tests.browser.fleet import Fleet, make_fleet
from tests.support.browser import CHROMIUM, NO_CHROMIUM, PHONE, WatchedContext, chromium
from tests.support.database_server import RunDirectory, cloned_database
from tests.support.full_stack import FullStack
from tests.support.waiting import wait_until

DIRECTORY = PROJECT / "docs" / "images"
PAST = Path(__file__).with_name("past.sql").read_text()
SIZE = (1040, 620)
# The availability of a gateway is to be seen, too.
SIZES = {
    "fleet_overview": (1120, 690),
    "gateway_down": (960, 1070),
    "import_mistakes": (960, 620),
    "phone": PHONE,
    "stale": (960, 480),
}
# As it is by default: soon there is a while between two attempts.
WORKER = {"BACKOFF_INITIAL_S": "2", "BACKOFF_MAX_S": "60", "TCP_TIMEOUT_S": "5"}
STALE_MS = 20_000
NETWORK_ERRORS = r"Failed to load resource|net::ERR"


def main() -> int:
    """Make all of them; returns the exit code."""
    show_any_character()
    if CHROMIUM is None:
        print(NO_CHROMIUM, file=sys.stderr)
        return 1
    DIRECTORY.mkdir(exist_ok=True)
    directory = RunDirectory()
    try:
        server_url = directory.server_url()
        with (
            psycopg.connect(server_url, autocommit=True) as admin,
            cloned_database(admin, server_url) as url,
            FullStack(url, directory.path, worker_settings=WORKER) as stack,
            chromium() as browser,
        ):
            take_all(browser, stack)
    finally:
        directory.remove()
    return 0


def take_all(browser: Browser, stack: FullStack) -> None:
    """Each picture, in a window of its own."""
    fleet = make_fleet(stack)
    wait_until(lambda: seconds_to_next_attempt(stack, fleet) > 12, 60, "a while between two attempts")
    give_a_past(stack.database_url)
    # The last one ends the API.
    for picture in (fleet_overview, gateway_down, import_mistakes, phone, stale):
        take(browser, stack, fleet, picture)


def give_a_past(database_url: str) -> None:
    """Three weeks of history."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(PAST.encode())


def seconds_to_next_attempt(stack: FullStack, fleet: Fleet) -> float:
    """Until the gateway that is down is tried again."""
    status = stack.status(fleet.gateways["Kiln 2"])
    if status["next_attempt_at"] is None:
        return 0
    times = (datetime.fromisoformat(status[name]) for name in ("next_attempt_at", "as_of"))
    return (next(times) - next(times)).total_seconds()


def take(
    browser: Browser, stack: FullStack, fleet: Fleet, picture: Callable[[Page, FullStack, Fleet], None]
) -> None:
    """One picture, named after the function that shows what is to be seen."""
    size = SIZES.get(picture.__name__, SIZE)
    path = DIRECTORY / f"{picture.__name__.replace('_', '-')}.png"
    with WatchedContext(browser, stack.origin, size, reduced_motion="reduce") as watched:
        watched.allow(NETWORK_ERRORS)
        page = watched.context.new_page()
        picture(page, stack, fleet)
        page.screenshot(path=path)
    print(f"{path.relative_to(PROJECT)}: {path.stat().st_size / 1000:.0f} kB")


def fleet_overview(page: Page, _: FullStack, __: Fleet) -> None:
    page.goto("/ui/")


def gateway_down(page: Page, _: FullStack, fleet: Fleet) -> None:
    page.goto(f"/ui/gateways/{fleet.gateways['Kiln 2']}")
    expect(page.locator("#what-to-do")).to_be_visible()


def import_mistakes(page: Page, _: FullStack, fleet: Fleet) -> None:
    factory = fleet.factories["Paper mill"]
    lines = (
        "factory_id,gateway_id,name,url,email,password",
        f"{factory},CTC-0201,Boiler,ws://192.0.2.21:5000,plant@example.com,secret",
        f"{factory},CTC-0202,Boiler 2,http://192.0.2.22:5000,plant@example.com,secret",
        f"{factory},CTC-0203,,ws://192.0.2.23,plant.example.com,secret",
        f"{factory},CTC-0201,Boiler 3,ws://192.0.2.24:5000,plant@example.com,",
    )
    content = "\n".join(lines).encode()
    page.goto("/ui/import")
    page.get_by_label("CSV file").set_input_files(
        {"name": "gateways.csv", "mimeType": "text/csv", "buffer": content}
    )
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#mistakes")).to_be_visible()


def phone(page: Page, _: FullStack, __: Fleet) -> None:
    page.goto("/ui/")


def stale(page: Page, stack: FullStack, fleet: Fleet) -> None:
    page.goto(f"/ui/gateways/{fleet.gateways['Press section']}")
    expect(page.locator("#status .state .word")).to_have_text("connected")
    stack.api.kill()
    expect(page.locator("#banner")).to_be_visible(timeout=STALE_MS)


if __name__ == "__main__":
    sys.exit(main())
