"""Describes the machine of a measurement."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from devstack.postgres.binaries import program
from devstack.project import PROJECT

DISTRIBUTIONS = (
    "gunicorn", "gevent", "flask", "psycopg", "pydantic", "websocket-client",
    "fastapi", "uvicorn", "uvloop", "sqlalchemy", "asyncpg", "websockets",
)  # fmt: skip
LIMIT_S = 10


def describe() -> str:
    """Markdown: cores, kernel, memory, and the versions of what was compared."""
    memory_gib = psutil.virtual_memory().total / 2**30
    kernel = f"{platform.system()} {platform.release()}"
    machine = f"{os.cpu_count()} cores ({_processor()}), {memory_gib:.0f} GiB, {kernel}"
    programs = [
        f"Python {platform.python_version()}",
        _said(str(program("postgres")), "--version"),
        "Node " + _said("node", "--version").removeprefix("v"),
    ]
    libraries = [f"{name} {version(name)}" for name in DISTRIBUTIONS if _is_installed(name)]
    return f"Machine: {machine}.  \nPrograms: {', '.join(programs)}.  \nLibraries: {', '.join(libraries)}."


def commit() -> str:
    """The commit that is checked out, marked where files other than the results differ from it."""
    checked_out = _said("git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD")
    others = ("--untracked-files=no", "--", ".", ":!bench/RESULTS.*")
    changed = _said("git", "-C", str(PROJECT), "status", "--porcelain", *others)
    return checked_out if changed in {"", "none"} else f"{checked_out}-dirty"


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return "none"
    return done.stdout.strip()
