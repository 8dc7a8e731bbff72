"""A copy of a database that is in use: dumped, and restored into another one."""

import subprocess
import tempfile
from pathlib import Path

from devstack.postgres.binaries import program

LIMIT_S = 60


def copy_database(from_url: str, to_url: str) -> None:
    """Restores a dump of one database into another, which has to be empty."""
    with tempfile.TemporaryDirectory() as directory:
        dump = Path(directory) / "dump"
        _run("pg_dump", "--format=custom", f"--file={dump}", from_url)
        _run("pg_restore", "--single-transaction", "--exit-on-error", f"--dbname={to_url}", str(dump))


def _run(name: str, *arguments: str) -> None:
    result = subprocess.run(
        [program(name), *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert result.returncode == 0, f"{name}: {result.stderr}"
