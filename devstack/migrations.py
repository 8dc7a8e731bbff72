"""The migrations of a project's folder, and what each says of an upgrade."""

import re
from dataclasses import dataclass
from pathlib import Path

from devstack.project import PROJECT

MIGRATIONS = Path("db/migrations")
# A line of its own, with the reason in the comment that follows it.
_MARKER = re.compile(r"^-- upgrade: (stop|contract)$", re.MULTILINE)
STOP = "stop"
"""The processes of the version before cannot run beside it."""
CONTRACT = "contract"
"""The processes of the version before use nothing of what it takes away."""


@dataclass(frozen=True)
class Migration:
    """One file."""

    path: Path

    @property
    def version(self) -> str:
        """The date and number that its name begins with."""
        return self.path.name.partition("_")[0]

    @property
    def up(self) -> str:
        """The half that applies it."""
        return self.path.read_text().partition("-- migrate:down")[0]

    @property
    def marker(self) -> str | None:
        """STOP, CONTRACT, or None: it only adds."""
        found = _MARKER.search(self.up)
        return found[1] if found else None


def migrations_of(project: Path = PROJECT) -> list[Migration]:
    """All of them, in their order."""
    return [Migration(path) for path in sorted((project / MIGRATIONS).glob("*.sql"))]


def newest_migration() -> str:
    """The version of the newest migration of this code."""
    return migrations_of()[-1].version
