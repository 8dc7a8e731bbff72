"""Checks that every locked package has a wheel for each platform that the README promises.

`make lock` asks the package index for the wheels and writes `wheels.txt`; the check needs no network.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms, parse_tag
from packaging.utils import parse_wheel_filename

from devstack.commands import local
from devstack.project import PROJECT

PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
GLIBC = (2, 28)
MACOS = (11, 0)
PROMISES = (
    f"Linux (glibc {GLIBC[0]}.{GLIBC[1]} or newer) on x86-64 or arm64",
    f"macOS {MACOS[0]} or newer on Apple silicon",
    f"Any Python from 3.{PYTHONS[0][1]} to 3.{PYTHONS[-1][1]} works",
)
"""The platforms, as the README words them."""
WHEELS = PROJECT / "wheels.txt"
HEADER = (
    "# Written by `make lock`: the tags of each locked package's wheels for the platforms of the README.\n"
)

Wheels = Mapping[str, frozenset[Tag]]
"""The tags of the available wheels by `name==version`."""


@dataclass(frozen=True)
class Target:
    """One platform with one version of Python."""

    name: str
    markers: Mapping[str, str]
    tags: frozenset[Tag]


@cache
def targets() -> list[Target]:
    """Return every platform and Python version that the README promises."""
    linux = [
        ("linux", "Linux", machine, list(_glibc_platforms(machine))) for machine in ("x86_64", "aarch64")
    ]
    macos = ("darwin", "Darwin", "arm64", list(mac_platforms(MACOS, "arm64")))
    return [_target(python, *platform) for platform in (*linux, macos) for python in PYTHONS]


def _target(
    python: tuple[int, int], sys_platform: str, system: str, machine: str, platforms: list[str]
) -> Target:
    version = ".".join(map(str, python))
    markers = {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    interpreter = f"cp{version.replace('.', '')}"
    tags = {
        *cpython_tags(python, platforms=platforms),
        *compatible_tags(python, interpreter=interpreter, platforms=platforms),
    }
    return Target(f"{system} {machine}, Python {version}", markers, frozenset(tags))


def _glibc_platforms(machine: str) -> Iterator[str]:
    """Return the platform tags that pip accepts (PEP 600), with the older ones of PEP 513, 571 and 599."""
    oldest = 5 if machine == "x86_64" else 17
    yield from (f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC[1], oldest - 1, -1))
    yield f"manylinux2014_{machine}"
    if machine == "x86_64":
        yield from ("manylinux2010_x86_64", "manylinux1_x86_64")
    yield f"linux_{machine}"


def lock_files() -> list[Path]:
    """Return all lock files."""
    return sorted(PROJECT.glob("requirements*.txt"))


def read_pins(lock_file: str) -> list[Requirement]:
    """Return the packages of a lock file with their markers."""
    lines = (line.removesuffix("\\") for line in lock_file.splitlines() if line[:1].strip(" #\n"))
    return [Requirement(line) for line in lines]


def key(pin: Requirement) -> str:
    """`name==version`."""
    return f"{pin.name}{pin.specifier}"


def missing_wheels(pins: Iterable[Requirement], wheels: Wheels) -> list[str]:
    """Return a line for each package that a promised platform cannot install."""
    problems = []
    for pin in pins:
        if key(pin) not in wheels:
            problems.append(f"{key(pin)}: not in {WHEELS.name}; run `make lock`")
            continue
        needing = [t for t in targets() if pin.marker is None or pin.marker.evaluate(dict(t.markers))]
        without = [target.name for target in needing if not target.tags & wheels[key(pin)]]
        if without:
            problems.append(f"{key(pin)}: no wheel for {'; '.join(without)}")
    return problems


def write_wheels() -> None:
    """Ask the index which wheels the locked packages have, and write `wheels.txt`."""
    promised = frozenset[Tag]().union(*(target.tags for target in targets()))
    lines = set()
    with tempfile.TemporaryDirectory() as directory:
        listing = Path(directory) / "pylock.toml"
        for lock_file in lock_files():
            options = ("--universal", "--no-deps", "--quiet", "--output-file", str(listing))
            command = local(("uv", "pip", "compile", str(lock_file), *options))
            subprocess.run(command, cwd=PROJECT, check=True)
            for package in tomllib.loads(listing.read_text())["packages"]:
                names = [Path(wheel["url"]).name for wheel in package.get("wheels", [])]
                tags = {tag for name in names for tag in parse_wheel_filename(name)[3]} & promised
                lines.add(
                    f"{package['name']}=={package['version']} {' '.join(sorted(map(str, tags)))}".strip()
                )
    WHEELS.write_text(HEADER + "\n".join(sorted(lines)) + "\n")


def read_wheels() -> Wheels:
    """Read the wheels that `make lock` found."""
    lines = (line.split() for line in WHEELS.read_text().splitlines() if not line.startswith("#"))
    return {name: frozenset[Tag]().union(*map(parse_tag, tags)) for name, *tags in lines}


def main() -> int:
    """Print the missing wheels; return the exit code."""
    wheels = read_wheels()
    problems = [
        f"{lock_file.name}: {problem}"
        for lock_file in lock_files()
        for problem in missing_wheels(read_pins(lock_file.read_text()), wheels)
    ]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
