"""The table of requirement rows shows the tests' outcomes."""

import subprocess
import sys
from pathlib import Path

import pytest

from devstack.project import PROJECT
from tests.requirements import read_outcomes, read_titles, table

SAMPLE = """
import pytest

@pytest.mark.req("A-1", "A-2")
def test_good(): pass

@pytest.mark.req("A-2")
def test_bad(): assert False

@pytest.mark.req("A-3")
@pytest.mark.skip
def test_later(): pass

@pytest.fixture
def breaks_at_its_end():
    yield
    raise RuntimeError

@pytest.mark.req("A-4")
def test_end(breaks_at_its_end): pass
"""


def test_there_are_64_rows() -> None:
    assert len(read_titles()) == 64


def test_a_row_needs_a_test_that_passed_and_none_that_failed() -> None:
    titles = dict.fromkeys(["A-1", "A-2", "A-3", "A-4", "A-5"], "title")
    outcomes = {
        "A-1": {"a": "passed"},
        "A-2": {"a": "passed", "b": "failed"},
        "A-3": {"a": "skipped"},
        "A-4": {"a": "skipped", "b": "passed"},
    }
    verdicts = [row.verdict for row in table(titles, outcomes)]
    assert verdicts == ["passed", "FAILED", "SKIPPED", "passed", "NO TEST"]


def test_a_test_cannot_name_a_row_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="B-9"):
        table({"A-1": "title"}, {"B-9": {"a": "passed"}})


@pytest.mark.parametrize("options", [[], ["-n", "2"]])
def test_outcomes_are_collected_from_a_full_run(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    settings = '[tool.pytest.ini_options]\ntestpaths = ["."]\nmarkers = ["req(id): rows"]\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['tests.requirements_plugin']\n")
    report = tmp_path / "report.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *options],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    outcomes = {row: set(tests.values()) for row, tests in read_outcomes(report).items()}
    assert outcomes == {"A-1": {"passed"}, "A-2": {"passed", "failed"}, "A-3": {"skipped"}, "A-4": {"failed"}}
