"""The choice of rows, failing rows, and the writing of RESULTS.md."""

import subprocess
from pathlib import Path

import pytest

from bench.__main__ import run
from bench.catalogue import ROWS, Row
from bench.environment import BenchEnvironment
from bench.kept_results import merge
from bench.results import Section, at_least
from devstack.errors import StackError
from devstack.harness.selection import choose
from devstack.project import PROJECT


def find(env: BenchEnvironment) -> Section:
    assert env.directory.is_dir()
    return Section("Found", "quick" if env.is_quick else "thorough")


def fail(_env: BenchEnvironment) -> Section:
    raise StackError("it did not start")


GOAL = at_least("work", 2, 1)
FINDS, FAILS = Row("finds", "something", find), Row("fails", "nothing", fail)


def test_a_run_of_all_rows_writes_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "RESULTS.md"
    assert run("", is_quick=False, rows=[FINDS], results=results) == 0
    assert "\n\nthorough" in results.read_text()
    assert results.read_text() in capsys.readouterr().out


@pytest.mark.parametrize(
    ("only", "is_quick", "rows", "status"),
    [("", True, [FINDS], 0), ("finds", True, [FINDS, FAILS], 0), ("", True, [FINDS, FAILS], 1)],
)
def test_a_quick_run_writes_no_results(
    only: str,
    is_quick: bool,
    rows: list[Row],
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "RESULTS.md"
    assert run(only, is_quick=is_quick, rows=rows, results=results) == status
    assert not results.exists()
    shown = capsys.readouterr().out
    assert "## Found" in shown
    assert ("fails: could not be measured: StackError: it did not start" in shown) == (status == 1)


def test_selected_rows_replace_only_their_results(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    other = Row("other", "something else", lambda _env: Section("Other", "still there", goals=(GOAL,)))
    assert run("", is_quick=False, rows=[FINDS, other], results=results) == 0
    again = Row("finds", "something", lambda _env: Section("Found", "better"))
    assert run("finds", is_quick=False, rows=[again, other], results=results) == 0
    text = results.read_text()
    assert "thorough" not in text
    assert text.index("better") < text.index("still there")
    assert "| work | ≥ 1 | 2.00 | yes |" in text
    assert text.count("Measured on commit ") == 2


def test_results_of_another_machine_are_dropped(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.json"
    merge(results, "one machine", {"finds": Section("Found", "old")}, [])
    assert merge(results, "another machine", {"other": Section("Other", "new")}, []).keys() == {"other"}
    assert "old" not in results.read_text()


def test_failed_rows_are_named_in_the_results(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    assert run("", is_quick=False, rows=[FAILS, FINDS], results=results) == 1
    assert "Could not be measured: fails." in results.read_text()
    assert "## Found" in results.read_text()


def test_only_known_rows_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("worse", is_quick=False, rows=[FINDS], results=tmp_path / "none") == 1
    assert "there are: finds" in capsys.readouterr().err
    assert [row.name for row in choose("fails, finds", [FINDS, FAILS])] == ["finds", "fails"]


def test_the_names_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", is_quick=False, results=tmp_path / "none") == 0
    shown = capsys.readouterr().out
    assert all(row.name in shown for row in ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_makefile_passes_its_settings_on() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "bench", "ONLY=api", "QUICK=1"]
    printed = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert "-m bench --only 'api' --quick" in printed
    assert "devstack/bootstrap.py bench" in printed


def test_no_lock_file_names_a_registry() -> None:
    locks = [*PROJECT.glob("requirements*.txt"), *PROJECT.glob("bench/peers/*/package-lock.json")]
    assert len(locks) >= 5
    assert not [
        lock.name for lock in locks if '"resolved"' in lock.read_text() or "index-url" in lock.read_text()
    ]
