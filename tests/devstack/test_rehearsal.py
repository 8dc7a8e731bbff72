"""A small rehearsal: what `make rehearse` shows, and that it shows what is wrong."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from devstack.harness.sandbox import Sandbox
from devstack.project import PROJECT
from devstack.rehearsal import fleet, restore, upgrade
from devstack.rehearsal.load import Written, find_missing
from devstack.rehearsal.steps import Rehearsal, table
from devstack.rehearsal.versions import Version


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Where it takes place; with few gateways and writes."""
    for module, name, value in (
        (fleet, "GATEWAYS", 12),
        (fleet, "AT_FIRST", 6),
        (restore, "ANSWERS_BEFORE", 10),
        (upgrade, "ANSWERS", 10),
    ):
        monkeypatch.setattr(module, name, value)
    with Sandbox(PROJECT / ".data" / f"rehearsal-test-{os.getpid()}", lambda _: None) as sandbox:
        yield sandbox


def failed(rehearsal: Rehearsal) -> list[str]:
    """What it found to be wrong."""
    return [f"{step.what}: {step.measured}" for step in rehearsal.steps if step.holds is False]


@pytest.mark.req("LIFECYCLE-05", "CRYPTO-03")
def test_a_restored_copy_is_complete_held_and_taken_over(sandbox: Sandbox) -> None:
    shown = restore.rehearse_restore(sandbox)
    assert failed(shown) == []
    assert "nothing is missing that was answered 2xx before" in table([shown])


@pytest.mark.req("LIFECYCLE-05")
def test_the_same_version_side_by_side_loses_no_write_and_no_session(sandbox: Sandbox) -> None:
    """Of another version there may be no history here."""
    shown = upgrade.rehearse_upgrade(sandbox, Version("this version", "itself", PROJECT))
    assert failed(shown) == []
    assert "writes go on all the time" in [step.what for step in shown.steps]


def test_what_is_missing_is_found(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO factories (name) VALUES ('F')")
        query = (
            "INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password, deleted_at)"
            " SELECT id, %s, %s, 'wss://g', 'a@b', repeat('x', 40)::bytea, %s FROM factories"
            " RETURNING id::text"
        )
        rows = [
            connection.execute(query, row).fetchone()
            for row in (("1", "Renamed 7", None), ("2", "N 3", "now"))
        ]
    [live, deleted] = [row[0] for row in rows if row is not None]
    absent = "01a21320-9ef2-730a-8d5f-e3ba5d2a3041"
    for row_id, written, is_missing in (
        (live, Written(7), False),
        (live, Written(6), False),
        (live, Written(8), True),
        (live, Written(0, is_deleted=True), True),
        (deleted, Written(0, is_deleted=True), False),
        (deleted, Written(9), False),
        (absent, Written(1), True),
    ):
        assert find_missing(database_url, {row_id: written}) == ([row_id] if is_missing else []), written
