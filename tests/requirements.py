"""`make requirements`: run all tests and print which requirement rows they prove.

A row that no test names, or one of whose tests did not pass, makes the exit code 1.
"""

import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.project import PROJECT
from tests.requirements_plugin import OUTCOMES_FILE

TITLES_FILE = Path(__file__).with_name("requirements.toml")


@dataclass(frozen=True)
class Row:
    """One line of the table. `outcomes` counts the row's tests by how they ended."""

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


def table(titles: Mapping[str, str], outcomes: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """One row each, in the order of the titles. Raises ValueError if a test names a row that there is not."""
    unknown = sorted(set(outcomes) - set(titles))
    if unknown:
        raise ValueError(f"tests name rows that do not exist: {', '.join(unknown)}")
    return [
        Row(identifier, title, Counter(outcomes.get(identifier, {}).values()))
        for identifier, title in titles.items()
    ]


def main() -> int:
    """Run the tests, print the table; returns the exit code."""
    OUTCOMES_FILE.unlink(missing_ok=True)
    tests = subprocess.run([sys.executable, "-m", "pytest", "-n", "2", "-q"], cwd=PROJECT, check=False)
    if not OUTCOMES_FILE.exists():
        return 1
    rows = table(read_titles(), json.loads(OUTCOMES_FILE.read_text()))
    print("\nrow           verdict  tests  what holds")
    print("\n".join(str(row) for row in rows))
    proved = sum(row.verdict == "passed" for row in rows)
    print(f"{proved} of {len(rows)} rows proved.")
    return tests.returncode or int(proved != len(rows))


if __name__ == "__main__":
    sys.exit(main())
