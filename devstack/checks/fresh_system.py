"""One fresh Debian in a directory, and the README's commands in it: `… SUITE MIRROR DIRECTORY`.

Run by `devstack.checks.try_on` alone, as root, in its own mount and process namespaces. Logs to
standard output; leaves the outcome in DIRECTORY/outcome.json.
"""

import configparser
import json
import re
import shutil
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.checks.readme import README_URL, debian_packages, example_script
from devstack.project import PROJECT

USER = "tester"
SCRIPTS = Path("/usr/share/debootstrap/scripts")
BOOTSTRAP_LIMIT_S = 600.0
APT_LIMIT_S = 300.0
DEMO_LIMIT_S = 600.0
RUN_LIMIT_S = 180.0
CLEAN_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEMO = "git clone --quiet /srv/millgate.git millgate && cd millgate && DEMO_SECONDS=20 make demo"
# A free port: the network is that of this machine, where 3000 may be taken.
RUN = r"""
cd millgate
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PORT
set -m
make run > ~/run.log 2>&1 &
running=$!
for _ in $(seq 600); do
    grep -q "Millgate is ready" ~/run.log && break
    kill -0 $running || break
    sleep 0.1
done
cat ~/run.log
sed "s#README_URL#http://127.0.0.1:$PORT#" ~/walk.sh | bash -euo pipefail
kill -INT -- -$running
wait $running || true
"""


class StepFailedError(Exception):
    """A step of the walk failed; the text names it."""


@dataclass
class Outcome:
    """A row of the matrix."""

    suite: str
    python: str = ""
    demo_s: float | None = None
    """The first `make demo`, with the installation and the 20 s that it runs."""
    run_s: float | None = None
    """`make run`, and the README's examples on it."""
    result: str = ""

    def row(self) -> tuple[str, ...]:
        """Return the row's cells."""
        times = ("" if took_s is None else f"{took_s:.0f} s" for took_s in (self.demo_s, self.run_s))
        return (self.suite, self.python, *times, self.result)

    @classmethod
    def read(cls, path: Path) -> "Outcome":
        """Read the file that `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write the outcome for the calling process."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def main() -> int:
    """Fill in the outcome up to the first failed step; return the exit code."""
    suite, mirror, place = sys.argv[1:]
    root = Path(place) / "root"
    outcome = Outcome(suite)
    try:
        build(suite, mirror, root)
        walk(root, outcome)
        outcome.result = "ok"
    except (StepFailedError, OSError) as error:
        print(error, flush=True)
        outcome.result = str(error)
    outcome.write(Path(place) / "outcome.json")
    return 0 if outcome.result == "ok" else 1


def build(suite: str, mirror: str, root: Path) -> None:
    """Build a minimal system with an ordinary user, the README's packages, and a bare clone."""
    script = [] if (SCRIPTS / suite).exists() else [str(SCRIPTS / "sid")]
    run(
        "debootstrap",
        BOOTSTRAP_LIMIT_S,
        "debootstrap",
        "--variant=minbase",
        suite,
        str(root),
        mirror,
        *script,
    )
    run("mount /dev", 10, "mount", "--rbind", "/dev", str(root / "dev"))
    run("mount /proc", 10, "mount", "-t", "proc", "proc", str(root / "proc"))
    packages = debian_packages()
    # An outdated mirror is good enough for a trial.
    update = ("apt-get", "update", "--quiet", "--option", "Acquire::Check-Valid-Until=false")
    in_root(root, "apt-get update", APT_LIMIT_S, *update)
    in_root(root, "apt install", APT_LIMIT_S, "apt-get", "install", "--quiet", "--yes", *packages)
    in_root(root, "useradd", 30, "useradd", "--create-home", "--shell", "/bin/bash", USER)
    copy_pip_settings(root)
    run("git clone", 60, "git", "clone", "--quiet", "--bare", str(PROJECT), str(root / "srv/millgate.git"))
    in_root(root, "chown", 30, "chown", "--recursive", f"{USER}:", "/srv/millgate.git")
    script_text = example_script().replace(README_URL, "README_URL")
    (root / "home" / USER / "walk.sh").write_text(script_text, encoding="utf-8")


def walk(root: Path, outcome: Outcome) -> None:
    """Run the README's steps. Raises StepFailedError."""
    outcome.python = in_root(root, "python3", 30, "python3", "--version").removeprefix("Python ")
    outcome.demo_s = timed(lambda: as_user(root, "make demo", DEMO_LIMIT_S, DEMO))
    outcome.run_s = timed(lambda: as_user(root, "make run", RUN_LIMIT_S, RUN))


def timed(step: Callable[[], object]) -> float:
    """Run a script; return the seconds it took."""
    began = time.monotonic()
    step()
    return time.monotonic() - began


def as_user(root: Path, name: str, limit_s: float, script: str) -> None:
    """Run a script in a login shell of the ordinary user. Raises StepFailedError."""
    in_root(root, name, limit_s, "su", "--login", USER, "--command", f"set -e\n{script}")


def in_root(root: Path, name: str, limit_s: float, *command: str) -> str:
    """Run a command in the system, without our environment. Raises StepFailedError."""
    clean = ("env", "--ignore-environment", CLEAN_PATH, "DEBIAN_FRONTEND=noninteractive")
    return run(name, limit_s, *clean, "chroot", str(root), *command)


def run(name: str, limit_s: float, *command: str) -> str:
    """Run a command, show its output, and return it. Raises StepFailedError."""
    print(f"== {name}", flush=True)
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        print((error.output or b"").decode(errors="replace"), flush=True)
        raise StepFailedError(f"{name}: not done after {limit_s:.0f} s") from None
    text = done.stdout.decode(errors="replace").strip()
    print(f"{text}\n== {name}: {time.monotonic() - began:.1f} s", flush=True)
    if done.returncode != 0:
        # make only repeats that it failed.
        said = [line for line in text.splitlines() if line.strip() and not line.startswith("make: ")]
        raise StepFailedError(f"{name}: {said[-1] if said else f'exit code {done.returncode}'}")
    return text


def copy_pip_settings(root: Path) -> None:
    """Copy this machine's pip settings, and the files they name, into the system."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    settings = configparser.RawConfigParser()
    for line in listed.stdout.splitlines():
        found = re.fullmatch(r"(?::env:|([\w-]+))\.([\w-]+)=(.*)", line)
        if found is None:
            continue
        section, name, value = found[1] or "global", found[2], str(literal_eval(found[3]))
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, name, value)
        if name in {"cert", "constraint"} and Path(value).is_file():
            copy = root / value.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(value, copy)
    with (root / "etc/pip.conf").open("w", encoding="utf-8") as file:
        settings.write(file)


if __name__ == "__main__":
    sys.exit(main())
