"""Reads from a dump what it contains: its migrations, and the keys that its passwords are sealed with."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from devstack.errors import StackError
from devstack.postgres.binaries import program
from service.crypto import Sealer
from service.errors import SealError

# The second is the first one's name in 0.1.0.
KEY_CHECKS = ("encryption_key_checks", "encryption_canaries")
TABLES = ("schema_migrations", "gateways", *KEY_CHECKS)
_COPY = re.compile(r"COPY \S*?(\w+) \((.*)\) FROM stdin;")
_END = "\\."
_OF_KEY_CHECK = UUID(int=0)


@dataclass
class KeyNeed:
    """What a backup needs a key for."""

    passwords: int = 0
    samples: list[tuple[UUID, bytes]] = field(default_factory=list, repr=False)
    """The key check and one password: the rows' ids, and what is sealed."""

    def is_met(self, sealer: Sealer) -> bool:
        """Whether the settings have the key."""
        for row_id, sealed in self.samples:
            try:
                sealer.open(sealed, row_id)
            except SealError:
                return False
        return True


@dataclass
class Contents:
    """What is in a dump."""

    migration: str = ""
    """The newest."""
    gateways: int = 0
    keys: dict[str, KeyNeed] = field(default_factory=dict)
    """By the key's id."""

    def add(self, table: str, row: Mapping[str, str]) -> None:
        """Counts a row in."""
        if table == "schema_migrations":
            self.migration = max(self.migration, row["version"])
        elif table == "gateways":
            self.gateways += row["deleted_at"] == "\\N"
            sealed = _bytes(row["sealed_password"])
            need = self.keys.setdefault(sealed[1:9].hex(), KeyNeed())
            need.passwords += 1
            if need.passwords == 1:
                need.samples.append((UUID(row["id"]), sealed))
        elif table in KEY_CHECKS:
            need = self.keys.setdefault(row["key_id"], KeyNeed())
            need.samples.append((_OF_KEY_CHECK, _bytes(row["sealed"])))

    def missing_keys(self, sealer: Sealer) -> list[str]:
        """The ids of the keys that are not among the settings'."""
        return [key_id for key_id, need in self.keys.items() if not need.is_met(sealer)]


def read_contents(dump: Path) -> Contents:
    """Reads a dump of a Millgate database. Raises StackError."""
    contents = Contents()
    for table, row in _rows_of(dump):
        contents.add(table, row)
    if not contents.migration:
        raise StackError(f"{dump} is not a backup of Millgate: it contains no migrations.")
    return contents


def _rows_of(dump: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of TABLES, as PostgreSQL's COPY writes them."""
    tables = [f"--table={table}" for table in TABLES]
    command = [str(program("pg_restore")), "--data-only", "--file=-", *tables, str(dump)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        table, columns = "", list[str]()
        for line in process.stdout:
            if not table:
                if start := _COPY.match(line):
                    table, columns = start[1], start[2].split(", ")
            elif line.rstrip("\n") == _END:
                table = ""
            else:
                yield table, dict(zip(columns, line.rstrip("\n").split("\t"), strict=True))
        words = process.stderr.read().strip()
    if process.returncode != 0:
        raise StackError(f"{dump} cannot be read as a backup: {words}")


def _bytes(text: str) -> bytes:
    """A bytea as COPY writes it: `\\\\x` and hexadecimal digits."""
    return bytes.fromhex(text.removeprefix("\\\\x"))
