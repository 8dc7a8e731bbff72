"""The operators' page beside the truth, while gateways, workers and the API come and go."""

import os
import random
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import psycopg
from playwright.sync_api import Browser, Error, Page, sync_playwright

from chaos.findings import Findings, SkippedError
from chaos.testbed import ChaosTestBed
from devstack.harness.sandbox import Sandbox
from simulator import Gateway

GATEWAYS = 3
STEPS = 24
SEED = 20261125
LOOK_EVERY_S = 0.25
TRUTH_EVERY_S = 0.05
TRUE_WITHIN_S = 2.0
STALE_AFTER_S = 10.0
BACK_WITHIN_S = 10.0
FREEZE_S = 13.0

LOOK = """() => {
    const live = document.getElementById("live");
    const state = live?.querySelector(".state");
    return {
        state: state?.dataset.state ?? null,
        isClaimed: Boolean(state) && !live.matches(".stale, .not-known"),
        asOf: document.getElementById("as-of")?.textContent ?? "",
    };
}"""
_AGE = re.compile(r"(\d+) s ago")


@dataclass
class Truth:
    """The states of gateways as PostgreSQL computes them, all the while. Owns a thread."""

    database_url: str
    seen: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """Per row id: when, and which state, each time that it was another one."""

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="truth", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(5)

    def was(self, row_id: str, state: str, begin: float, end: float) -> bool:
        """Whether a gateway was in this state at some moment between these times."""
        history = list(self.seen.get(row_id, []))
        ends = [*(at for at, _ in history[1:]), monotonic()][: len(history)]
        return any(
            name == state and at <= end and until + TRUTH_EVERY_S >= begin
            for (at, name), until in zip(history, ends, strict=True)
        )

    def _run(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            while not self._stopping.wait(TRUTH_EVERY_S):
                rows = connection.execute("SELECT id::text, state FROM gateway_statuses").fetchall()
                at = monotonic()
                for row_id, state in rows:
                    history = self.seen.setdefault(row_id, [])
                    if not history or history[-1][1] != state:
                        history.append((at, state))


@dataclass
class Watch:
    """A tab that shows one gateway, held against the truth four times a second. For the row's thread."""

    testbed: ChaosTestBed
    page: Page
    row_id: str
    truth: Truth
    looks: int = 0
    lies: list[str] = field(default_factory=list)
    oldest_s: float = 0.0
    """How old the oldest claim was that the page made without taking it back."""
    claims: bool = False

    def look_for(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float | None:
        """Looks for this long, or until something holds: how long that took, or None."""
        began = monotonic()
        while monotonic() - began < seconds:
            self._look()
            if until():
                return monotonic() - began
            self.page.wait_for_timeout(LOOK_EVERY_S * 1000)
        return None

    def _look(self) -> None:
        began = monotonic()
        try:
            shown: dict[str, Any] = self.page.evaluate(LOOK)
        except Error:
            return  # It loads itself anew.
        now = monotonic()
        self.looks += 1
        self.claims = bool(shown["isClaimed"])
        if not self.claims:
            return
        found = _AGE.search(shown["asOf"])
        age_s = float(found[1]) + 1 if found else 0.0
        self.oldest_s = max(self.oldest_s, age_s)
        if not self.truth.was(self.row_id, shown["state"], began - age_s - TRUE_WITHIN_S, now):
            self.lies.append(f"{shown['state']} ({shown['asOf']})")


def page_truth(sandbox: Sandbox, findings: Findings) -> None:
    """A random walk of transitions and faults, during which the page is compared with the status."""
    path = shutil.which("chromium")
    if path is None:
        raise SkippedError("no Chromium here")
    with ChaosTestBed(sandbox, "page-truth") as testbed:
        site, worker = testbed.start(GATEWAYS)
        gateway = site.gateways[0]
        row_id = testbed.ids[gateway.gateway_id]
        truth = Truth(testbed.database_url)
        testbed.on_close(truth.stop)
        with open_browser(path) as browser:
            page = browser.new_page(base_url=f"http://127.0.0.1:{testbed.api.port}")
            page.goto(f"/ui/gateways/{row_id}")
            watch = Watch(testbed, page, row_id, truth)
            testbed.say("a walk of transitions")
            walk(watch, gateway)
            findings.within("connected again shown after", await_state(watch, "connected"), 40)
            testbed.say("the API freezes")
            freeze_api(watch, findings)
            testbed.say("the API is killed")
            kill_api(watch, findings)
            testbed.say("the worker is killed")
            worker.send(signal.SIGKILL)
            watch.look_for(12, lambda: shown_state(page) == "unknown")
            findings.holds("unknown after the worker's end", shown_state(page) == "unknown")
        transitions = len(truth.seen[row_id])
        findings.holds(
            f"{len(watch.lies)} of {watch.looks} looks showed a state that was not true within "
            f"{TRUE_WITHIN_S:g} s of the time that the page named ({transitions} transitions)"
            + "".join(f"; {lie}" for lie in watch.lies[:3]),
            not watch.lies,
        )
        findings.within("oldest claim that was not taken back", watch.oldest_s, STALE_AFTER_S)


@contextmanager
def open_browser(path: str) -> Iterator[Browser]:
    """A running Chromium."""
    # Its own sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def walk(watch: Watch, gateway: Gateway) -> None:
    """Cuts, absences and commands at random, the same each time."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    path = f"/api/gateways/{watch.row_id}"
    is_away = False
    for _ in range(STEPS):
        step = dice.choice(["cut", "cut", "away", "disconnect", "connect"])
        if step == "cut":
            gateway.drop(dice.choice(["rst", "fin", "close"]))
        elif step == "away":
            if is_away:
                gateway.start_listening()
            else:
                gateway.stop_listening()
                gateway.drop("rst")
            is_away = not is_away
        else:
            watch.testbed.api.call("POST", f"{path}/{step}")
        watch.look_for(dice.uniform(0.2, 2.5))
    if is_away:
        gateway.start_listening()
    watch.testbed.api.call("POST", f"{path}/connect")


def freeze_api(watch: Watch, findings: Findings) -> None:
    """SIGSTOP of all its processes, and SIGCONT."""
    processes = watch.testbed.api.processes()
    for process in processes:
        process.suspend()
    try:
        taken_back = watch.look_for(FREEZE_S, lambda: not watch.claims)
    finally:
        for process in processes:
            process.resume()
    findings.within("frozen API: taken back after", taken_back, STALE_AFTER_S + 1)
    findings.within("claimed again after", watch.look_for(BACK_WITHIN_S, lambda: watch.claims), BACK_WITHIN_S)


def kill_api(watch: Watch, findings: Findings) -> None:
    """kill -9 of all its processes; then it is started again."""
    watch.testbed.api.kill()
    findings.within(
        "killed API: taken back after", watch.look_for(FREEZE_S, lambda: not watch.claims), STALE_AFTER_S + 1
    )
    watch.testbed.api.start()
    findings.within("claimed again after", watch.look_for(BACK_WITHIN_S, lambda: watch.claims), BACK_WITHIN_S)


def await_state(watch: Watch, state: str) -> float | None:
    """How long until the page shows it."""
    return watch.look_for(40, lambda: watch.claims and shown_state(watch.page) == state)


def shown_state(page: Page) -> str | None:
    """What the page says now, whether it claims it or not."""
    state: str | None = page.evaluate(LOOK)["state"]
    return state
