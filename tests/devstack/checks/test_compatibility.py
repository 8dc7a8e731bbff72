"""Migrations that processes of the last release cannot live with are found, unless they say so."""

from pathlib import Path

import pytest

from devstack.checks.compatibility import main, unmarked
from devstack.migrations import Migration, migrations_of
from devstack.rehearsal.versions import Version

MIGRATION = "-- migrate:up\n\n{marker}SET LOCAL lock_timeout = '2s';\n{up}\n\n-- migrate:down\n\n{down}\n"
ADD = "ALTER TABLE gateways ADD COLUMN colour text;"


def migration(directory: Path, up: str, down: str = "SELECT 1;", marker: str = "") -> Migration:
    """A file with these two halves."""
    path = directory / "29990101000000_change_something.sql"
    path.write_text(MIGRATION.format(marker=marker, up=up, down=down))
    return Migration(path)


@pytest.mark.req("DB-02")
@pytest.mark.parametrize(
    "up",
    [
        "ALTER TABLE gateways DROP COLUMN name;",
        "ALTER TABLE gateways RENAME COLUMN name TO title;",
        "ALTER TABLE gateways RENAME TO devices;",
        "ALTER TABLE gateways ALTER COLUMN name TYPE bytea USING name::bytea;",
        "ALTER TABLE gateways ADD COLUMN colour text NOT NULL;",
        "DROP TABLE gateway_events;",
        "DROP VIEW gateway_statuses;",
        "DROP FUNCTION worker_is_live(workers);",
        "-- squawk-ignore ban-drop-column\nALTER TABLE gateways DROP COLUMN name;",
    ],
)
def test_what_takes_something_away_needs_a_marker(tmp_path: Path, up: str) -> None:
    [line] = unmarked([migration(tmp_path, up)])
    assert line.startswith("29990101000000_change_something.sql:")
    for kind in ("contract", "stop"):
        assert unmarked([migration(tmp_path, up, marker=f"-- upgrade: {kind}\n-- For a reason.\n")]) == []


@pytest.mark.req("DB-02")
@pytest.mark.parametrize(
    "up",
    [
        ADD,
        "CREATE TABLE colours (id bigint PRIMARY KEY);",
        "ALTER TABLE gateways ADD COLUMN colour text NOT NULL DEFAULT '';",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql RETURN 'DROP TABLE gateways;';",
    ],
)
def test_what_adds_needs_none_whatever_its_way_back_takes_away(tmp_path: Path, up: str) -> None:
    assert unmarked([migration(tmp_path, up, "DROP TABLE gateways;", "-- upgrade: perhaps\n")]) == []


def test_the_present_migrations_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().out


def test_an_upgrade_needs_a_stop_only_for_migrations_that_it_does_not_have_yet(tmp_path: Path) -> None:
    folder = tmp_path / "db" / "migrations"
    folder.mkdir(parents=True)
    all_of_them = migrations_of()
    [stop] = [each for each in all_of_them if each.marker == "stop"]
    for each in all_of_them:
        version = Version("old", "none", tmp_path)
        needs_stop = version.stop_for is not None
        assert needs_stop == (each.version <= stop.version)
        (folder / each.path.name).touch()
    assert Version("old", "none", tmp_path).new_migrations == []
