"""Locked packages can be installed on every platform that the README promises."""

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, parse_tag

from devstack.checks.wheels import PROMISES, key, lock_files, missing_wheels, read_pins, read_wheels, targets
from devstack.project import PROJECT

LINUX_X86 = "cp311-abi3-manylinux_2_28_x86_64"
LINUX_ARM = "cp311-abi3-manylinux2014_aarch64"
MACOS_ARM = "cp311-abi3-macosx_11_0_arm64"


def missing(requirement: str, *tags: str) -> list[str]:
    pin = Requirement(requirement)
    return missing_wheels([pin], {key(pin): frozenset[Tag]().union(*map(parse_tag, tags))})


def test_the_checked_platforms_are_those_of_the_readme() -> None:
    readme = " ".join((PROJECT / "README.md").read_text().split())
    assert [promise for promise in PROMISES if promise not in readme] == []
    assert len(targets()) == 3 * 4


@pytest.mark.parametrize(
    "tags", [("py3-none-any",), (LINUX_X86, LINUX_ARM, MACOS_ARM), ("py2.py3-none-any",)]
)
def test_a_package_with_wheels_for_all_passes(tags: tuple[str, ...]) -> None:
    assert missing("some==1.0", *tags) == []


@pytest.mark.parametrize(
    ("tags", "platform"),
    [
        ((LINUX_X86, LINUX_ARM), "Darwin arm64, Python 3.11"),
        ((LINUX_X86, LINUX_ARM, "cp311-abi3-macosx_10_12_x86_64"), "Darwin arm64, Python 3.14"),
        ((LINUX_X86, LINUX_ARM, "cp311-abi3-macosx_14_0_arm64"), "Darwin arm64, Python 3.11"),
        ((LINUX_ARM, MACOS_ARM, "cp311-abi3-manylinux_2_34_x86_64"), "Linux x86_64, Python 3.12"),
        ((LINUX_ARM, MACOS_ARM, "cp311-abi3-musllinux_1_2_x86_64"), "Linux x86_64, Python 3.12"),
        ((LINUX_X86, MACOS_ARM), "Linux aarch64, Python 3.13"),
        ((LINUX_X86.replace("abi3", "cp311"), LINUX_ARM, MACOS_ARM), "Linux x86_64, Python 3.14"),
        ((), "Linux x86_64, Python 3.11"),
    ],
)
def test_a_platform_without_a_wheel_is_named(tags: tuple[str, ...], platform: str) -> None:
    (problem,) = missing("some==1.0", *tags)
    assert problem.startswith("some==1.0: no wheel for ")
    assert platform in problem


def test_a_package_for_some_platforms_needs_only_their_wheels() -> None:
    assert missing("some==1.0 ; sys_platform == 'win32'") == []
    assert missing("some==1.0 ; sys_platform == 'darwin'", MACOS_ARM) == []
    assert missing("some==1.0 ; python_full_version < '3.12'", "cp311-cp311-macosx_11_0_arm64") != []


def test_every_lock_file_is_covered_and_passes() -> None:
    wheels = read_wheels()
    pins = {path.name: read_pins(path.read_text()) for path in lock_files()}
    assert len(pins["requirements.txt"]) > 20
    assert {name: missing_wheels(pinned, wheels) for name, pinned in pins.items()} == {
        name: [] for name in pins
    }


def test_a_package_locked_without_make_lock_is_reported() -> None:
    assert missing_wheels([Requirement("some==1.1")], {"some==1.0": frozenset()}) == [
        "some==1.1: not in wheels.txt; run `make lock`"
    ]
