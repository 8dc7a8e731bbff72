"""`make lock`: resolve the dependencies of pyproject.toml again, with hashes, and list the wheels."""

import subprocess
import sys

from devstack.checks.wheels import write_wheels
from devstack.commands import local
from devstack.project import PROJECT
from devstack.terminal import show_any_character

TARGETS = {
    "requirements.txt": ("pyproject.toml",),
    "requirements-local.txt": ("pyproject.toml", "--group", "local"),
    "requirements-dev.txt": ("pyproject.toml", "--group", "dev"),
    # The bench measures the deployed versions.
    "requirements-bench.txt": (
        "pyproject.toml",
        "--group",
        "bench",
        "-c",
        "requirements-local.txt",
    ),
}
OPTIONS = ("--universal", "--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet")


def main() -> int:
    """Write the lock files; return the exit code of the first resolution that fails, or 0."""
    show_any_character()
    for target, source in TARGETS.items():
        print(f"Resolving {target} …", flush=True)
        command = local(("uv", "pip", "compile", *source, *OPTIONS, *sys.argv[1:], "--output-file", target))
        code = subprocess.run(command, cwd=PROJECT, check=False).returncode
        if code != 0:
            return code
    write_wheels()
    return 0


if __name__ == "__main__":
    sys.exit(main())
