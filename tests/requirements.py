"""`make requirements`: run all tests and print which requirement rows they prove.

A row that no test names, or one of whose tests did not pass, makes the exit code 1.
"""

import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from devstack.project import PROJECT
from tests.requirements_plugin import PROPERTY_NAME

REPORT_FILE = PROJECT / ".data" / "requirements.xml"
TITLES_FILE = Path(__file__).with_name("requirements.toml")
SEVERITY = ("passed", "skipped", "failed")


@dataclass(frozen=True)
class Row:
    """One line of the table. `outcomes` counts the row's tests by outcome."""

    identifier: str
    title: str
    outcomes: Mapping[str, int]

    @property
    def verdict(self) -> str:
        """`passed`, `FAILED`, `SKIPPED` or `NO TEST`; a skipped test alone proves nothing."""
        if not self.outcomes:
            return "NO TEST"
        if self.outcomes.get("failed"):
            return "FAILED"
        return "passed" if self.outcomes.get("passed") else "SKIPPED"

    def __str__(self) -> str:
        tests = sum(self.outcomes.values())
        return f"{self.identifier:13} {self.verdict:8} {tests:4}  {self.title}"


def read_titles(path: Path = TITLES_FILE) -> dict[str, str]:
    """Row identifier → title."""
    groups = tomllib.loads(path.read_text())
    return {identifier: title for group in groups.values() for identifier, title in group.items()}


def read_outcomes(report: Path) -> dict[str, dict[str, str]]:
    """Row identifier → test → its worst outcome, from pytest's report.

    A test that fails and whose fixtures fail, too, is in it twice.
    """
    outcomes: dict[str, dict[str, str]] = defaultdict(dict)
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        test = f"{case.get('classname')}::{case.get('name')}"
        for rows in case.iterfind(f"properties/property[@name='{PROPERTY_NAME}']"):
            for row in rows.get("value", "").split():
                outcomes[row][test] = max(
                    outcomes[row].get(test, "passed"), _outcome(case), key=SEVERITY.index
                )
    return dict(outcomes)


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"


def table(titles: Mapping[str, str], outcomes: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Return one row each, in the order of the titles. Raises ValueError if a test names an unknown row."""
    unknown = sorted(set(outcomes) - set(titles))
    if unknown:
        raise ValueError(f"tests name rows that do not exist: {', '.join(unknown)}")
    return [
        Row(identifier, title, Counter(outcomes.get(identifier, {}).values()))
        for identifier, title in titles.items()
    ]


def main() -> int:
    """Run the tests, print the table; return the exit code."""
    REPORT_FILE.unlink(missing_ok=True)
    command = (sys.executable, "-m", "pytest", "-n", "2", "-q", f"--junit-xml={REPORT_FILE}")
    tests = subprocess.run(command, cwd=PROJECT, check=False)
    if not REPORT_FILE.exists():
        return 1
    rows = table(read_titles(), read_outcomes(REPORT_FILE))
    print("\nrow           verdict  tests  what holds")
    print("\n".join(str(row) for row in rows))
    proved = sum(row.verdict == "passed" for row in rows)
    print(f"{proved} of {len(rows)} rows proved.")
    return tests.returncode or int(proved != len(rows))


if __name__ == "__main__":
    sys.exit(main())
