"""Collects which tests prove which requirement rows, and how they ended, in `.data/requirements.json`."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from devstack.project import PROJECT

OUTCOMES_FILE = PROJECT / ".data" / "requirements.json"
MARKED_ROWS = "requirement_rows"
# The worst outcome of a test's phases counts.
SEVERITY = {"passed": 0, "skipped": 1, "failed": 2}


class OutcomeCollector:
    """Row identifier → test → outcome, gathered from the reports of all phases of all tests."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test; under xdist this runs in the controlling process."""
        for rows in (value for name, value in report.user_properties if name == MARKED_ROWS):
            for row in str(rows).split():
                before = self.rows[row].get(report.nodeid, "passed")
                self.rows[row][report.nodeid] = max(before, report.outcome, key=SEVERITY.__getitem__)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the file if this was a run of all tests."""
        if is_full_run(session.config):
            write_outcomes(OUTCOMES_FILE, self.rows)


def is_full_run(config: pytest.Config) -> bool:
    """Whether nobody chose a part of the tests."""
    chosen = config.option.keyword or config.option.markexpr or config.option.lf or config.option.maxfail
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen


def write_outcomes(path: Path, rows: dict[str, dict[str, str]]) -> None:
    """Replace the outcomes file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(rows, indent=2, sort_keys=True))
    unfinished.rename(path)


def pytest_configure(config: pytest.Config) -> None:
    """Collect in the process that controls the run."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(OutcomeCollector(), "requirement-outcomes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attach each test's rows to its reports, which also travel from xdist's workers."""
    for item in items:
        rows = [row for mark in item.iter_markers("req") for row in mark.args]
        if rows:
            item.user_properties.append((MARKED_ROWS, " ".join(rows)))
