"""`make try-on`: its errors, its output, and that it removes nothing through a mount."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.checks.fresh_system import Outcome, StepFailedError, run
from devstack.checks.readme import README_URL, debian_packages, example_script
from devstack.checks.try_on import NAMESPACES, NEEDED_PROGRAMS, end, find_problem, remove, table
from tests.support.waiting import wait_until

LIMIT_S = 30.0


def test_the_readme_names_packages_and_commands() -> None:
    assert {"git", "make", "curl"} <= set(debian_packages())
    assert README_URL in example_script()


@pytest.mark.parametrize(
    ("suites", "is_root", "missing", "problem"),
    [
        ([], True, set(), "Name the suites"),
        (["../etc"], True, set(), "'../etc' is not the name of a suite"),
        (["--help"], True, set(), "'--help' is not the name of a suite"),
        (["trixie"], True, {"debootstrap", "git"}, "needs debootstrap, git"),
        (["trixie"], False, set(), "run as root"),
    ],
)
def test_a_system_that_cannot_be_tried_is_reported_in_one_line(
    suites: list[str], is_root: bool, missing: set[str], problem: str
) -> None:
    found = find_problem(suites, is_root=is_root, has=lambda name: name not in missing)
    assert found is not None
    assert problem in found
    assert "\n" not in found


def test_it_starts_without_the_virtual_environment() -> None:
    found = find_problem(["trixie"], is_root=True, has=set(NEEDED_PROGRAMS).__contains__)
    assert found is None
    # Only the standard library: -S leaves out installed packages.
    started = subprocess.run(
        [sys.executable, "-S", "-m", "devstack.checks.try_on"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (started.returncode, started.stderr) == (
        2,
        'Name the suites: make try-on SUITE="bookworm trixie"\n',
    )


def test_the_table_has_a_row_for_each_system(tmp_path: Path) -> None:
    written = Outcome("trixie", "3.13.5", 45.9, 12.0, "ok")
    written.write(tmp_path / "outcome.json")
    outcomes = [
        Outcome.read(tmp_path / "outcome.json"),
        Outcome("sid", "3.15.0", result="make demo: too new"),
    ]
    assert table(outcomes).splitlines() == [
        "suite   python  first make demo  make run, README  result",
        "trixie  3.13.5  46 s             12 s              ok",
        "sid     3.15.0                                     make demo: too new",
    ]


def test_a_step_that_fails_or_hangs_is_named_with_its_last_line() -> None:
    with pytest.raises(StepFailedError, match=r"^make demo: the reason$"):
        run(
            "make demo",
            LIMIT_S,
            "sh",
            "-c",
            "echo much; echo the reason; echo 'make: *** [Makefile:20: demo] Error 1'; exit 3",
        )
    with pytest.raises(StepFailedError, match=r"^make demo: exit code 3$"):
        run("make demo", LIMIT_S, "sh", "-c", "exit 3")
    with pytest.raises(StepFailedError, match=r"^make demo: not done after 0 s$"):
        run("make demo", 0.2, "sh", "-c", "echo begun; exec sleep 60")


def can_have_namespaces() -> bool:
    """Whether we are root and may make namespaces."""
    if os.geteuid() != 0 or shutil.which(NAMESPACES[0]) is None:
        return False
    return (
        subprocess.run([*NAMESPACES, "true"], capture_output=True, timeout=LIMIT_S, check=False).returncode
        == 0
    )


@pytest.mark.skipif(not can_have_namespaces(), reason="needs root and namespaces")
def test_mounted_folders_survive_a_systems_removal_and_its_processes_do_not(tmp_path: Path) -> None:
    precious, place = tmp_path / "precious", tmp_path / "place"
    precious.mkdir()
    (precious / "file").touch()
    (place / "root").mkdir(parents=True)
    script = f"mount --bind {precious} {place}/root && touch {place}/root/seen && (sleep 600 & sleep 600)"
    process = subprocess.Popen(
        [*NAMESPACES, "sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        wait_until((precious / "seen").exists, LIMIT_S, "the mount")
    finally:
        end(process)
    # No process is left that could write.
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    remove(place)
    assert not place.exists()
    assert (precious / "file").exists()


@pytest.mark.skipif(not can_have_namespaces(), reason="needs root and namespaces")
def test_a_system_with_mounts_is_not_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "place"
    (place / "root").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place / "root")], check=True, timeout=LIMIT_S)
    try:
        (place / "root" / "file").touch()
        remove(place)
        assert (place / "root" / "file").exists()
        assert "Something is mounted below" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", str(place / "root")], check=True, timeout=LIMIT_S)
    remove(place)
    assert not place.exists()
