"""Files generated from the migrations: `python -m devstack.checks.generated schema | rows | check`.

They come from a throw-away embedded server, so no existing database is needed or touched.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path

from devstack.checks.row_types import read_columns, render_module
from devstack.commands import MIGRATE, local
from devstack.errors import StackError
from devstack.postgres.binaries import binary_directory
from devstack.postgres.temporary import temporary_postgres
from devstack.project import PROJECT
from devstack.run.environment import drop_foreign
from devstack.terminal import show_any_character

SCHEMA = Path("db/schema.sql")
ROWS = Path("service/database/rows.py")
MAKERS = {"schema": SCHEMA, "rows": ROWS}
THROW_AWAY = {"fsync": "off"}
LIMIT_S = 120


@contextmanager
def migrated_database() -> Iterator[str]:
    """Yield the URL of a migrated database on a server that ends with the block."""
    with temporary_postgres(PROJECT / ".data" / f"migrated-{uuid.uuid4().hex}", THROW_AWAY) as server:
        output_of(local(MIGRATE), DATABASE_URL=server.url())
        yield server.url()


def dump_schema(database_url: str) -> str:
    """Return dbmate's schema dump, made with the embedded server's pg_dump."""
    with tempfile.TemporaryDirectory(prefix="generate-", dir=PROJECT / ".data") as directory:
        target = Path(directory) / "schema.sql"
        path = os.pathsep.join([str(binary_directory()), os.defpath])
        command = ("dbmate", "--schema-file", str(target), "dump")
        output_of(local(command), DATABASE_URL=database_url, PATH=path)
        return target.read_text()


def render_rows(database_url: str) -> str:
    """Return the text of the module with the row types."""
    return render_module(read_columns(database_url))


def output_of(command: tuple[str, ...], **environment: str) -> str:
    """Return a command's output. Raises StackError with it when the command fails."""
    result = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if result.returncode != 0:
        raise StackError(f"{Path(command[0]).name} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def make(names: list[str]) -> dict[Path, str]:
    """Generate the texts of the named files."""
    with migrated_database() as url:
        texts = {SCHEMA: dump_schema, ROWS: render_rows}
        return {MAKERS[name]: texts[MAKERS[name]](url) for name in names}


def stale_files() -> list[str]:
    """Return a diff for each file that is stale."""
    differences = []
    for path, wanted in make(list(MAKERS)).items():
        present = (PROJECT / path).read_text() if (PROJECT / path).exists() else ""
        lines = unified_diff(
            present.splitlines(), wanted.splitlines(), f"{path}", f"{path} (generated now)", lineterm=""
        )
        differences.append("\n".join(lines))
    return [difference for difference in differences if difference]


def main() -> int:
    """Do what the command line asks for; returns the exit code."""
    show_any_character()
    drop_foreign()
    parser = argparse.ArgumentParser(prog="devstack.checks.generated")
    parser.add_argument("what", choices=[*MAKERS, "check"])
    what = parser.parse_args().what
    try:
        if what == "check":
            stale = stale_files()
            print(
                "\n".join([*stale, "Stale: run make types schema."])
                if stale
                else "Generated files are current."
            )
            return 1 if stale else 0
        for path, text in make([what]).items():
            (PROJECT / path).write_text(text)
            print(f"Wrote {path}.")
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
