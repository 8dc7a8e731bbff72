"""`python -m chaos`: runs the scenarios, prints the table; exit status 0 only if no scenario failed."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from chaos.catalogue import SCENARIOS, Scenario
from chaos.findings import Findings, Outcome, SkippedError, Verdict, exit_status
from chaos.log_story import missing_lines, unhelpful_lines
from chaos.table import histogram, table
from devstack.errors import StackError, StopAskedError
from devstack.harness.sandbox import Sandbox
from devstack.harness.selection import INTERRUPTED, LOOK_INTERVAL_S, ProgressLog, choose, listing
from devstack.processes.signals import StopRequest
from devstack.project import PROJECT
from devstack.run.environment import drop_foreign
from devstack.terminal import say, show_any_character

AT_ONCE = 4


def run_scenario(scenario: Scenario, sandbox: Sandbox) -> Outcome:
    """Measures one scenario. Raises StopAskedError."""
    sandbox.say(f"{scenario.name}: begins")
    began = monotonic()
    findings = Findings()
    try:
        scenario.measure(sandbox, findings)
        judge_logs(scenario, read_logs(sandbox.path), findings)
        verdict = Verdict.FAILED if findings.has_failed else Verdict.KEPT
    except SkippedError as skipped:
        findings.note(f"skipped: {skipped}")
        verdict = Verdict.FAILED if findings.has_failed else Verdict.SKIPPED
    except StopAskedError:
        raise
    except Exception as error:  # noqa: BLE001 - a scenario that cannot be measured has failed, the others go on
        findings.holds(f"could not be measured: {type(error).__name__}: {error}", False)
        verdict = Verdict.FAILED
    took_s = monotonic() - began
    sandbox.say(f"{scenario.name}: {verdict} ({took_s:.0f} s): {findings.text}")
    return Outcome(
        scenario.name,
        scenario.about,
        scenario.promise,
        findings.text,
        verdict,
        took_s,
        tuple(findings.histogram),
    )


def judge_logs(scenario: Scenario, logs: Mapping[str, str], findings: Findings) -> None:
    """Whether the logs tell the scenario's story; `logs`: by test bed and process."""
    own = {name.removeprefix(f"{scenario.name}/"): text for name, text in logs.items()}
    beds = {scenario.name, *(each.log.partition("/")[0] for each in scenario.story if "/" in each.log)}
    of_scenario = {
        name.removeprefix(f"{scenario.name}/"): logs[name] for name in logs if name.split("/")[0] in beds
    }
    for missing in missing_lines(scenario.story, own) + unhelpful_lines(of_scenario):
        findings.holds(f"log: {missing}", False)
    if scenario.story:
        lines = sum(len(each.lines) for each in scenario.story)
        findings.note(f"{lines} lines expected in {len(of_scenario)} logs")


def read_logs(directory: Path) -> dict[str, str]:
    """The logs of all test beds, by test bed and process."""
    files = directory.glob("*/*.log")
    return {f"{file.parent.name}/{file.stem}": file.read_text(errors="replace") for file in files}


def run_scenarios(scenarios: Sequence[Scenario], sandbox: Sandbox, stopping: StopRequest) -> list[Outcome]:
    """Measures several at once where they allow it; in the table's order. Raises StopAskedError."""
    together = sorted(
        (scenario for scenario in scenarios if not scenario.alone), key=lambda scenario: -scenario.expected_s
    )
    one_by_one = [scenario for scenario in scenarios if scenario.alone]
    outcomes: dict[str, Outcome] = {}
    for batch, at_once in ((together, AT_ONCE), (one_by_one, 1)):
        with ThreadPoolExecutor(at_once, thread_name_prefix="scenario") as pool:
            running = [pool.submit(run_scenario, scenario, sandbox) for scenario in batch]
            try:
                await_all(running, stopping)
            except StopAskedError:
                sandbox.stopping.set()
                for each in running:
                    each.cancel()
                raise
            outcomes.update((each.result().name, each.result()) for each in running)
    return [outcomes[scenario.name] for scenario in scenarios]


def await_all(running: Sequence[Future[Outcome]], stopping: StopRequest) -> None:
    """Waits in the main thread, which alone hears of signals. Raises StopAskedError."""
    while not all(each.done() for each in running):
        if stopping.wait(LOOK_INTERVAL_S):
            raise StopAskedError


def run(only: str, scenarios: Sequence[Scenario] = SCENARIOS) -> int:
    """Runs the scenarios named; prints the table; the exit status."""
    if only in {"list", "help"}:
        print(listing(scenarios))
        return 0
    try:
        chosen = choose(only, scenarios)
        with StopRequest() as stopping:
            directory = PROJECT / ".data" / f"chaos-{os.getpid()}"
            with Sandbox(directory, ProgressLog()) as sandbox:
                outcomes = run_scenarios(chosen, sandbox, stopping)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except StopAskedError:
        say("Stopped.")
        return INTERRUPTED
    show(outcomes)
    return exit_status(outcomes)


def show(outcomes: Sequence[Outcome]) -> None:
    """The table, and the bars of scenarios that have some."""
    for outcome in outcomes:
        if outcome.histogram:
            say("\n" + histogram(f"{outcome.fault}: logins in each second", outcome.histogram))
    say("\n" + table(outcomes))


def main() -> int:
    """Reads the command line."""
    show_any_character()
    drop_foreign()
    parser = argparse.ArgumentParser(
        prog="chaos",
        description="Runs every fault of the table of promises on this machine, and measures.",
        epilog="Scenarios:\n" + listing(SCENARIOS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", default="", metavar="NAMES", help="scenarios, separated by commas; list: which"
    )
    return run(parser.parse_args().only)


if __name__ == "__main__":
    sys.exit(main())
