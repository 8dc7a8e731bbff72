"""pg_dump and pg_restore for a server: the embedded ones, or the system's where TLS is needed."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from devstack.errors import StackError
from devstack.postgres.binaries import program

EMBEDDED_VERSION = 18
# Debian's, which its wrapper in /usr/bin does not choose while an older server is installed.
DEBIAN = Path("/usr/lib/postgresql")


class Client:
    """Runs PostgreSQL's programs on the server of a connection, with the same connection settings."""

    def __init__(self, connection: Connection[Any], url: str, environment: Mapping[str, str]) -> None:
        """`environment` is the programs'. Raises StackError if no program fits."""
        self._version = connection.info.server_version // 10_000
        self._is_embedded = self._version <= EMBEDDED_VERSION and not connection.pgconn.ssl_in_use
        known = conninfo_to_dict(url)
        known.pop("password", None)
        self._conninfo = make_conninfo("", **known)
        # Not among the arguments, which every user of the machine can read.
        self._environment = {**environment, "PGPASSWORD": connection.info.password}

    def run(self, name: str, arguments: Sequence[str | Path]) -> None:
        """Runs a program to its end. Raises StackError with its words if it fails."""
        command = [self._program(name), f"--dbname={self._conninfo}", *arguments]
        result = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            words = result.stderr.strip() or f"it ended with {result.returncode}"
            raise StackError(f"{name} failed: {words}")

    def _program(self, name: str) -> Path:
        if self._is_embedded:
            return program(name)
        found = [DEBIAN / str(self._version) / "bin" / name, Path(shutil.which(name) or name)]
        for path in found:
            if path.exists() and _version_of(path) >= self._version:
                return path
        raise StackError(
            f"{name} of PostgreSQL {self._version} or newer is needed: this server uses TLS, which the one "
            "that Millgate brings lacks, or is newer than it. On Debian: apt install "
            f"postgresql-client-{self._version}"
        )


def _version_of(path: Path) -> int:
    result = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"\) (\d+)", result.stdout)
    return int(found[1]) if found else 0
