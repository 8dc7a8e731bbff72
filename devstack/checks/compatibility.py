"""`python -m devstack.checks.compatibility`: can processes of the last release run beside the new migrations?

Expand, migrate, contract: a migration adds; what it takes away, no process of the last release uses any more.
squawk knows the statements that take something away. A file with one of them has to say in a marker what that
means for an upgrade (see `devstack.migrations`).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from devstack.commands import local
from devstack.migrations import Migration, migrations_of
from devstack.releases import recorded_releases, released_migrations

# squawk's rules for what "may break existing clients".
BREAKING = ("renaming-", "ban-drop-", "changing-column-type", "adding-required-field", "ban-truncate-cascade")
# One that is dropped is often made again, wider; that it is not narrower is tested on a database in use.
HARMLESS = frozenset({"ban-drop-constraint", "ban-drop-trigger", "ban-drop-not-null"})
LIMIT_S = 60


def unmarked(migrations: Iterable[Migration]) -> list[str]:
    """A line for each statement that takes something away in a file without a marker."""
    with tempfile.TemporaryDirectory() as directory:
        halves = []
        for migration in migrations:
            if migration.marker is None:
                half = Path(directory) / migration.path.name
                # What is ignored there says nothing of upgrades.
                half.write_text(migration.up.replace("squawk-ignore", "ignored"))
                halves.append(str(half))
        if not halves:
            return []
        result = subprocess.run(
            local(("squawk", "--config", "/dev/null", "--pg-version", "18", "--reporter", "json", *halves)),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    found = json.loads(result.stdout)
    return [
        f"{Path(each['file']).name}:{each['line'] + 1}: {each['message']}"
        for each in found
        if each["rule_name"].startswith(BREAKING) and each["rule_name"] not in HARMLESS
    ]


def main() -> int:
    """Print what is wrong; return the exit code."""
    released = released_migrations(recorded_releases()[-1])
    lines = unmarked(each for each in migrations_of() if each.version not in released)
    if lines:
        lines.append(
            "Processes of the last release run while these migrations are applied. Split the change (expand, "
            "migrate, contract), or say in a line of its own what it means: `-- upgrade: contract` if the "
            "last release uses none of it, `-- upgrade: stop` if its processes have to be stopped first."
        )
    print("\n".join(lines) or "All migrations since the last release only add, or say what they mean.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
