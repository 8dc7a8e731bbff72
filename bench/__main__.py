"""`python -m bench`: measures rows one after the other and writes the results to bench/RESULTS.md."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic

from bench.catalogue import ROWS, Row
from bench.environment import BenchEnvironment
from bench.kept_results import merge
from bench.machine import commit, describe
from bench.results import Section, report
from devstack.errors import StackError, StopAskedError
from devstack.harness.sandbox import Sandbox
from devstack.harness.selection import INTERRUPTED, LOOK_INTERVAL_S, ProgressLog, choose, listing
from devstack.processes.signals import StopRequest
from devstack.project import PROJECT
from devstack.run.environment import drop_foreign
from devstack.terminal import say, show_any_character

RESULTS = PROJECT / "bench" / "RESULTS.md"
# The only changed PostgreSQL setting: all contestants are connected at the same time.
SERVER_SETTINGS = {"max_connections": "300"}


def measure(row: Row, sandbox: Sandbox, *, is_quick: bool) -> Section:
    """Measures one row. Raises StopAskedError, StackError."""
    sandbox.say(f"{row.name}: begins")
    began = monotonic()
    with BenchEnvironment(sandbox, row.name, is_quick=is_quick) as env:
        section = row.measure(env)
    sandbox.say(f"{row.name}: done ({monotonic() - began:.0f} s)")
    return section


def measure_all(
    rows: Sequence[Row],
    sandbox: Sandbox,
    stopping: StopRequest,
    keep: Callable[[dict[str, Section], list[str]], object],
    *,
    is_quick: bool,
) -> list[str]:
    """The names of the rows that could not be measured. Raises StopAskedError.

    `keep` is called after each row with the results so far and those names.
    """
    sections: dict[str, Section] = {}
    failed: list[str] = []
    with ThreadPoolExecutor(1, thread_name_prefix="row") as pool:
        for row in rows:
            running = pool.submit(measure, row, sandbox, is_quick=is_quick)
            try:
                sections[row.name] = replace(await_result(running, sandbox, stopping), commit=commit())
            except StopAskedError:
                raise
            except Exception as error:  # noqa: BLE001 - this row cannot be measured; the others go on
                sandbox.say(f"{row.name}: could not be measured: {type(error).__name__}: {error}")
                failed.append(row.name)
            keep(sections, failed)
    return failed


def await_result(running: Future[Section], sandbox: Sandbox, stopping: StopRequest) -> Section:
    """Waits in the main thread, the only one that receives signals. Raises what the row raised."""
    while not running.done():
        if stopping.wait(LOOK_INTERVAL_S):
            sandbox.stopping.set()
            break
    return running.result()


def run(only: str, *, is_quick: bool, rows: Sequence[Row] = ROWS, results: Path = RESULTS) -> int:
    """Measures the rows named and prints the results; 0 if all were measured, even if goals were missed."""
    if only in {"list", "help"}:
        print(listing(rows))
        return 0
    text = ""

    def keep(sections: dict[str, Section], failed: list[str]) -> None:
        nonlocal text
        command = command_line(only, is_quick=is_quick)
        text = report(machine, command, list(sections.values()), failed)
        if not is_quick:
            known = merge(results.with_suffix(".json"), machine, sections, failed)
            ordered = [known[row.name] for row in rows if row.name in known]
            results.write_text(report(machine, "make bench", ordered, failed))

    try:
        chosen = choose(only, rows)
        machine = describe()
        with StopRequest() as stopping:
            directory = PROJECT / ".data" / f"bench-{os.getpid()}"
            with Sandbox(directory, ProgressLog(), SERVER_SETTINGS) as sandbox:
                failed = measure_all(chosen, sandbox, stopping, keep, is_quick=is_quick)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except StopAskedError:
        say("Stopped.")
        return INTERRUPTED
    say("\n" + text)
    return 1 if failed else 0


def command_line(only: str, *, is_quick: bool) -> str:
    """Return the command line that repeats this run."""
    return "make bench" + (f" ONLY={only}" if only else "") + (" QUICK=1" if is_quick else "")


def main() -> int:
    """Reads the command line."""
    show_any_character()
    drop_foreign()
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measures Millgate against its alternatives. What is not quick goes into "
        "bench/RESULTS.md, beside what earlier runs found on the same machine.",
        epilog="Rows:\n" + listing(ROWS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", metavar="NAMES", help="rows, separated by commas; list: which")
    parser.add_argument("--quick", action="store_true", help="short rounds: a look, no numbers to keep")
    asked = parser.parse_args()
    return run(asked.only, is_quick=asked.quick)


if __name__ == "__main__":
    sys.exit(main())
