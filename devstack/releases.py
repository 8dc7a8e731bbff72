"""The releases that are recorded in tests/upgrade: which they are, and which migrations they have."""

import re
from pathlib import Path

from devstack.project import PROJECT

FOLDER = Path("tests/upgrade")


def recorded_releases() -> list[str]:
    """Their versions, the oldest first."""
    found = [path.parent.name for path in (PROJECT / FOLDER).glob("*/schema.sql")]
    return sorted(found, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])


def released_migrations(version: str) -> set[str]:
    """The versions of the migrations that a database of the release has."""
    schema = (PROJECT / FOLDER / version / "schema.sql").read_text()
    return set(re.findall(r"\('(\d{14})'\)", schema))
