"""`make try-on SUITE="trixie …"`: the README's commands, from a bare clone, on fresh systems; a row for each.

Needs root, debootstrap and unshare, and the standard library alone. A system is in a directory that is
removed afterwards. Its mounts are in a separate namespace (see `fresh_system`), which has ended by then, so
nothing is ever removed through a mount. Its processes end with it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from devstack.checks.fresh_system import Outcome
from devstack.checks.readme import debian_packages
from devstack.project import PROJECT

LIMIT_S = 1800.0
STOP_LIMIT_S = 15.0
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
NEEDED_PROGRAMS = ("debootstrap", "unshare", "git", "apt-get")
SUITE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
HEADINGS = ("suite", "python", "first make demo", "make run, README", "result")


def main() -> int:
    """Try all suites, one after the other; return the exit code."""
    parser = argparse.ArgumentParser(prog="make try-on", description="Try Millgate on fresh Debian systems.")
    parser.add_argument("suites", nargs="*", help="as Debian names them: bookworm, trixie, sid, …")
    suites = parser.parse_args().suites
    problem = find_problem(suites, is_root=os.geteuid() == 0, has=lambda name: shutil.which(name) is not None)
    mirror = None if problem else find_mirror()
    if problem or mirror is None:
        print(problem or "No mirror: apt is set up with none on this machine.", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Leave the suite in progress through its clean-up.
        signal.signal(number, lambda *_: sys.exit(1))
    logs = PROJECT / ".data" / "try-on"
    logs.mkdir(parents=True, exist_ok=True)
    logs.chmod(0o700)
    outcomes = []
    for suite in suites:
        print(f"Trying {suite}; the log is {(logs / suite).relative_to(PROJECT)}.log …", flush=True)
        outcomes.append(try_suite(suite, mirror, logs / f"{suite}.log"))
        print(table(outcomes[-1:]), flush=True)
    if len(outcomes) > 1:
        print(table(outcomes))
    return 0 if all(outcome.result == "ok" for outcome in outcomes) else 1


def find_problem(suites: list[str], *, is_root: bool, has: Callable[[str], bool]) -> str | None:
    """Return in one line why this machine cannot run it; None if it can."""
    if not suites:
        return 'Name the suites: make try-on SUITE="bookworm trixie"'
    for suite in suites:
        if not suite or suite.startswith("-") or not SUITE_CHARACTERS.issuperset(suite):
            return f"{suite!r} is not the name of a suite."
    missing = [name for name in NEEDED_PROGRAMS if not has(name)]
    if missing:
        return f"make try-on needs {', '.join(missing)} (on Debian: apt install debootstrap util-linux git)."
    if not is_root:
        return "make try-on has to be run as root: it makes a system in a directory and goes into it."
    if not debian_packages():
        return "The README does not say what to install on Debian."
    return None


def find_mirror() -> str | None:
    """Return the mirror from which apt installs this system."""
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    targets = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(RELEASE) $(COMPONENT) $(REPO_URI)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for line in targets.stdout.splitlines():
        suite, component, address = line.split(" ", 2)
        if (suite, component) == (codename, "main"):
            return address.rstrip("/")
    return None


def try_suite(suite: str, mirror: str, log_path: Path) -> Outcome:
    """Make the system, run the README's commands, and remove the system."""
    place = Path(tempfile.mkdtemp(prefix=f"millgate-{suite}-", dir="/var/tmp"))  # /tmp may be small
    try:
        outcome_path = place / "outcome.json"
        command = (
            *NAMESPACES,
            sys.executable,
            "-m",
            "devstack.checks.fresh_system",
            suite,
            mirror,
            str(place),
        )
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            try:
                process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                return Outcome(suite, result=f"not done after {LIMIT_S:.0f} s")
            finally:
                end(process)
        return Outcome.read(outcome_path) if outcome_path.exists() else Outcome(suite, result="see the log")
    finally:
        remove(place)


def end(process: subprocess.Popen[bytes]) -> None:
    """End unshare by ending its child: that is reaped when every process of its namespace has ended."""
    if process.poll() is None:
        for child in (
            Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        ):
            os.kill(int(child), signal.SIGKILL)
        process.wait(STOP_LIMIT_S)


def remove(place: Path) -> None:
    """Remove a system, unless something is still mounted in it."""
    mounts = [
        line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    ]
    if any(Path(mount).is_relative_to(place) for mount in mounts):
        print(f"Something is mounted below {place}: unmount it, then remove the directory.", file=sys.stderr)
        return
    shutil.rmtree(place)


def table(outcomes: list[Outcome]) -> str:
    """Return a table with a row for each outcome."""
    rows = [HEADINGS, *(outcome.row() for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
