"""`make check`: every check that needs no running Millgate, a few at a time; none needs the network."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from devstack.commands import local
from devstack.project import PROJECT
from devstack.terminal import show_any_character

AT_ONCE = 2
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.tls.yml")
CI_WORKFLOW = ".github/workflows/ci.yml"
LIMIT_S = 600


@dataclass(frozen=True)
class Outcome:
    """How one check ended."""

    name: str
    passed: bool
    took_s: float
    output: str


def checks() -> dict[str, tuple[str, ...]]:
    """The commands by name, those that take longest first."""
    migrations = sorted(str(path.relative_to(PROJECT)) for path in (PROJECT / "db/migrations").glob("*.sql"))
    compose = "vendor.compose-spec"
    return {
        "mypy": ("mypy", "--strict"),
        "generated files": ("python", "-m", "devstack.checks.generated", "check"),
        "import rules": ("lint-imports", "--no-cache"),
        "Compose files": ("check-jsonschema", "--builtin-schema", compose, *COMPOSE_FILES),
        "CI workflow": ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", CI_WORKFLOW),
        "Dockerfile": ("hadolint", "Dockerfile"),
        "migrations": ("squawk", *migrations),
        "upgrades": ("python", "-m", "devstack.checks.compatibility"),
        "wheels": ("python", "-m", "devstack.checks.wheels"),
        "ruff check": ("ruff", "check", "."),
        "ruff format": ("ruff", "format", "--check", "."),
    }


def run_check(name: str, command: tuple[str, ...]) -> Outcome:
    """Run one check to its end."""
    began = time.monotonic()
    try:
        result = subprocess.run(
            local(command),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Outcome(name, False, time.monotonic() - began, str(error))
    output = (result.stdout + result.stderr).strip()
    return Outcome(name, result.returncode == 0, time.monotonic() - began, output)


def main() -> int:
    """Run all checks; print one line each and the output of failed ones; return the exit code."""
    show_any_character()
    failed = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="check") as pool:
        running = [pool.submit(run_check, name, command) for name, command in checks().items()]
        for done in as_completed(running):
            outcome = done.result()
            print(
                f"{'ok    ' if outcome.passed else 'FAILED'} {outcome.name} ({outcome.took_s:.1f} s)",
                flush=True,
            )
            if not outcome.passed:
                failed.append(outcome.name)
                print(outcome.output, flush=True)
    print(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
