"""`python -m chaos`: runs the rows, prints the table; exit status 0 only if no row failed."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

from chaos.catalogue import ROWS, Row
from chaos.findings import Findings, Outcome, SkippedError, Verdict, exit_status
from chaos.table import histogram, table
from devstack.errors import StackError, StopAskedError
from devstack.harness.sandbox import Sandbox
from devstack.harness.selection import INTERRUPTED, LOOK_INTERVAL_S, ProgressLog, choose, listing
from devstack.processes.signals import StopRequest
from devstack.project import PROJECT
from devstack.run.environment import drop_foreign
from devstack.terminal import say, show_any_character

AT_ONCE = 4


def run_row(row: Row, sandbox: Sandbox) -> Outcome:
    """Measures one row. Raises StopAskedError."""
    sandbox.say(f"{row.name}: begins")
    began = monotonic()
    findings = Findings()
    try:
        row.measure(sandbox, findings)
        verdict = Verdict.FAILED if findings.has_failed else Verdict.KEPT
    except SkippedError as skipped:
        findings.note(f"skipped: {skipped}")
        verdict = Verdict.FAILED if findings.has_failed else Verdict.SKIPPED
    except StopAskedError:
        raise
    except Exception as error:  # noqa: BLE001 - a row that can not be measured has failed, the others go on
        findings.holds(f"could not be measured: {type(error).__name__}: {error}", False)
        verdict = Verdict.FAILED
    took_s = monotonic() - began
    sandbox.say(f"{row.name}: {verdict} ({took_s:.0f} s): {findings.text}")
    return Outcome(
        row.name, row.about, row.promise, findings.text, verdict, took_s, tuple(findings.histogram)
    )


def run_rows(rows: Sequence[Row], sandbox: Sandbox, stopping: StopRequest) -> list[Outcome]:
    """Measures rows, several at once where they allow it; in the table's order. Raises StopAskedError."""
    together = sorted((row for row in rows if not row.alone), key=lambda row: -row.expected_s)
    one_by_one = [row for row in rows if row.alone]
    outcomes: dict[str, Outcome] = {}
    for batch, at_once in ((together, AT_ONCE), (one_by_one, 1)):
        with ThreadPoolExecutor(at_once, thread_name_prefix="row") as pool:
            running = [pool.submit(run_row, row, sandbox) for row in batch]
            try:
                await_all(running, stopping)
            except StopAskedError:
                sandbox.stopping.set()
                for each in running:
                    each.cancel()
                raise
            outcomes.update((each.result().name, each.result()) for each in running)
    return [outcomes[row.name] for row in rows]


def await_all(running: Sequence[Future[Outcome]], stopping: StopRequest) -> None:
    """Waits in the main thread, which alone hears of signals. Raises StopAskedError."""
    while not all(each.done() for each in running):
        if stopping.wait(LOOK_INTERVAL_S):
            raise StopAskedError


def run(only: str, rows: Sequence[Row] = ROWS) -> int:
    """Runs the rows named; prints the table; the exit status."""
    if only in {"list", "help"}:
        print(listing(rows))
        return 0
    try:
        chosen = choose(only, rows)
        with StopRequest() as stopping:
            directory = PROJECT / ".data" / f"chaos-{os.getpid()}"
            with Sandbox(directory, ProgressLog()) as sandbox:
                outcomes = run_rows(chosen, sandbox, stopping)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except StopAskedError:
        say("Stopped.")
        return INTERRUPTED
    show(outcomes)
    return exit_status(outcomes)


def show(outcomes: Sequence[Outcome]) -> None:
    """The table, and the bars of rows that have some."""
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
        epilog="Rows:\n" + listing(ROWS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", metavar="NAMES", help="rows, separated by commas; list: which")
    return run(parser.parse_args().only)


if __name__ == "__main__":
    sys.exit(main())
