"""`python -m devstack.rehearsal [--from COMMIT]`: exit status 0 only if everything is as it should be."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from devstack.errors import StackError, StopAskedError
from devstack.harness.sandbox import Sandbox
from devstack.harness.selection import INTERRUPTED, ProgressLog
from devstack.project import PROJECT
from devstack.rehearsal.restore import rehearse_restore
from devstack.rehearsal.steps import Rehearsal, table
from devstack.rehearsal.upgrade import rehearse_upgrade
from devstack.rehearsal.versions import Version, checkout, last_release, version_with
from devstack.run.environment import drop_foreign
from devstack.terminal import say, show_any_character


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    show_any_character()
    drop_foreign()
    parser = argparse.ArgumentParser(prog="rehearse", description="Rehearse a restore and an upgrade.")
    parser.add_argument("--from", dest="commit", default="", help="upgrade from this commit alone")
    commit = parser.parse_args().commit
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with Sandbox(PROJECT / ".data" / f"rehearsal-{os.getpid()}", ProgressLog()) as sandbox:
            rehearsals = rehearse_commit(sandbox, commit) if commit else rehearse_all(sandbox)
    except StopAskedError:
        say("Stopped.")
        return INTERRUPTED
    say("\n" + table(rehearsals))
    return 1 if any(each.has_failed for each in rehearsals) else 0


def rehearse_commit(sandbox: Sandbox, commit: str) -> list[Rehearsal]:
    """An upgrade from any commit. Raises StopAskedError."""
    return [
        attempt(
            f"Upgrade from {commit}",
            lambda: rehearse_upgrade(sandbox, checkout(commit, commit, sandbox.path / "before")),
        )
    ]


def rehearse_all(sandbox: Sandbox) -> list[Rehearsal]:
    """A restore, and an upgrade from the last release. Raises StopAskedError.

    If that needs a stop, an upgrade side by side follows: from the first version that can.
    """
    rehearsals = [attempt("Backup and restore", lambda: rehearse_restore(sandbox))]
    releases: list[Version] = []

    def from_release() -> Rehearsal:
        releases.append(last_release(sandbox.path / "release"))
        return rehearse_upgrade(sandbox, releases[0])

    rehearsals.append(attempt("Upgrade from the last release", from_release))
    if releases and (stop_for := releases[0].stop_for):
        rehearsals.append(
            attempt(
                "Upgrade side by side",
                lambda: rehearse_upgrade(sandbox, version_with(stop_for, sandbox.path / "later")),
            )
        )
    return rehearsals


def attempt(title: str, rehearse: Callable[[], Rehearsal]) -> Rehearsal:
    """A rehearsal, or the reason why there is none. Raises StopAskedError."""
    try:
        return rehearse()
    except StackError as error:
        failed = Rehearsal(title)
        failed.check("could not be rehearsed", " ".join(str(error).split()), False)
        return failed


def _stop(*_: object) -> NoReturn:
    raise StopAskedError


if __name__ == "__main__":
    sys.exit(main())
