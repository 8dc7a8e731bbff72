"""The version before, from the history of the repository, and what an upgrade from it needs."""

import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from devstack.errors import StackError
from devstack.migrations import MIGRATIONS, STOP, Migration, migrations_of
from devstack.project import PROJECT
from devstack.releases import recorded_releases, released_migrations

LIMIT_S = 60


@dataclass(frozen=True)
class Version:
    """A version before this one."""

    name: str
    commit: str
    project: Path
    """Where its files are."""

    @property
    def new_migrations(self) -> list[Migration]:
        """Those that it does not have yet."""
        known = {each.version for each in migrations_of(self.project)}
        return [each for each in migrations_of() if each.version not in known]

    @property
    def stop_for(self) -> Migration | None:
        """The last migration because of which its processes have to be stopped; None: they may go on."""
        return next((each for each in reversed(self.new_migrations) if each.marker == STOP), None)


def last_release(directory: Path) -> Version:
    """The release that was recorded last. Raises StackError."""
    name = recorded_releases()[-1]
    return checkout(f"release {name}", last_commit_with(released_migrations(name)), directory)


def version_with(migration: Migration, directory: Path) -> Version:
    """The first version that has a migration. Raises StackError."""
    commit = commit_that_added(migration.path.relative_to(PROJECT))
    return checkout(f"the first version with {migration.version}", commit, directory)


def checkout(name: str, commit: str, directory: Path) -> Version:
    """Unpacks a commit, which may be a branch or tag, into a new directory. Raises StackError."""
    commit = _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()[:12]
    with tarfile.open(fileobj=BytesIO(_git("archive", commit))) as archive:
        archive.extractall(directory, filter="data")
    return Version(name, commit, directory)


def last_commit_with(migrations: set[str]) -> str:
    """The newest commit that has just these migrations. Raises StackError if the history has none."""
    newer = "HEAD"
    for commit in _git("log", "--topo-order", "--format=%H", "--", str(MIGRATIONS)).decode().split():
        files = _git("ls-tree", "--name-only", commit, f"{MIGRATIONS}/").decode().split()
        if {Path(file).name.partition("_")[0] for file in files} == migrations:
            return newer
        newer = f"{commit}^"
    raise StackError("the history of this folder has no commit with the migrations of the last release")


def commit_that_added(path: Path) -> str:
    """Raises StackError if the history does not say."""
    found = _git("log", "--diff-filter=A", "--format=%H", "--", str(path)).decode().split()
    if not found:
        raise StackError(f"the history of this folder has no commit that added {path}")
    return found[-1]


def _git(*words: str) -> bytes:
    try:
        result = subprocess.run(
            ["git", "-C", str(PROJECT), *words], capture_output=True, timeout=LIMIT_S, check=False
        )
    except FileNotFoundError:
        raise StackError("git is needed for the version before") from None
    if result.returncode != 0:
        raise StackError(f"git has no such version: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout
