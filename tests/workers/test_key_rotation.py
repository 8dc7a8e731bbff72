"""Keys are rotated while everything runs: no request fails, no gateway reconnects, nothing is lost."""

import base64
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import UUID

import psycopg
import pytest

from devstack.project import PROJECT
from service.crypto import Sealer, Secret
from service.database.security.key_checks import check_key, find_keys_in_use
from service.errors import ConfigurationError, DatabaseError
from service.rotate_keys import BATCH, Rotation
from tests.support.api_server import ApiServer
from tests.support.inherited import inherited
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import KEY, PASSWORD
from tests.workers.conftest import StartSite, StartWorker

NEW_KEY = base64.b64encode(b"n" * 32).decode()
THIRD_KEY = base64.b64encode(b"t" * 32).decode()
NEW = Sealer(Secret(NEW_KEY))
BOTH = Sealer(Secret(NEW_KEY), [Secret(KEY)])
BOTH_KEYS = {"ENCRYPTION_KEY": NEW_KEY, "ENCRYPTION_KEYS_OLD": KEY}
NOWHERE = "ws://127.0.0.1:9"
LIMIT_S = 60


def say_nothing(_line: str) -> None:
    """Ignore the output of a run."""


@pytest.fixture
def rows(testbed: WorkerTestBed) -> list[UUID]:
    """Create gateways outside any worker, sealed with the old key, which is in use; delete the last."""
    with testbed.database.transaction() as transaction:
        check_key(transaction, testbed.sealer, will_seal=True)
    added = testbed.add_all([(f"CTC-{number}", NOWHERE) for number in range(2 * BATCH + 50)])
    testbed.rows("UPDATE gateways SET desired_state = 'disconnected'")
    testbed.delete(added[-1])
    return added


def sealed_with(testbed: WorkerTestBed) -> dict[str, int]:
    """Count the passwords sealed with each key."""
    counted = testbed.rows("SELECT key_id_of(sealed_password), count(*) FROM gateways GROUP BY 1")
    return dict(counted)


def password_of(testbed: WorkerTestBed, row_id: UUID, sealer: Sealer = NEW) -> str:
    """Return a stored password, decrypted."""
    [row] = testbed.rows("SELECT sealed_password FROM gateways WHERE id = %s", row_id)
    return sealer.open(row.sealed_password, row_id).reveal()


def rotate(database_url: str, **environment: str) -> subprocess.Popen[str]:
    """Run the function of `make rotate-keys`."""
    return subprocess.Popen(
        [sys.executable, "-m", "service.rotate_keys"],
        cwd=PROJECT,
        env={
            **inherited(),
            "DATABASE_URL": database_url,
            # Some tests make it wait.
            "DB_STATEMENT_TIMEOUT_S": str(LIMIT_S),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def held_at(testbed: WorkerTestBed, row_id: UUID) -> Iterator[Callable[[], bool]]:
    """Block the re-encryption of this row until the block ends; yield whether one waits."""
    testbed.rows(
        f"""
        CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.id = '{row_id}' AND NEW.sealed_password <> OLD.sealed_password THEN
                PERFORM pg_advisory_xact_lock(42);
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER wait_here BEFORE UPDATE ON gateways FOR EACH ROW EXECUTE FUNCTION wait_here();
        """
    )
    waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"
    with psycopg.connect(testbed.database_url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(42)")
        yield lambda: bool(testbed.rows(waiting))
    testbed.rows("DROP FUNCTION wait_here() CASCADE")


class Load:
    """Threads that use the API until they are stopped; every response's status is kept."""

    def __init__(self, api: ApiServer, row_ids: list[UUID]) -> None:
        self.statuses: list[int] = []
        self.passwords: dict[UUID, str] = {}
        self._api = api
        self._row_ids = row_ids
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def _read(self) -> None:
        while not self._stopping.is_set():
            for path in ("/api/gateways?limit=100", f"/api/gateways/{self._row_ids[0]}/status"):
                self.statuses.append(self._api.call("GET", path).status)

    def _write(self) -> None:
        number = 0
        while not self._stopping.is_set():
            # Spread, so that they meet the rotation at any point.
            row_id = self._row_ids[number * 37 % len(self._row_ids)]
            number += 1
            change: dict[str, str] = {"name": f"Hall {number}"}
            if number % 2:
                change["password"] = f"password {number}"
            reply = self._api.call("PATCH", f"/api/gateways/{row_id}", change)
            self.statuses.append(reply.status)
            self.passwords[row_id] = change.get("password", self.passwords.get(row_id, PASSWORD))


@pytest.mark.timeout(180)
def test_under_load_no_request_fails_and_no_gateway_connects_again(
    testbed: WorkerTestBed, rows: list[UUID], start_site: StartSite, start_worker: StartWorker, tmp_path: Path
) -> None:
    site = start_site(3)
    connected = testbed.add_all([(gateway.gateway_id, gateway.url) for gateway in site.gateways])
    start_worker(**BOTH_KEYS)
    for row_id in connected:
        testbed.wait_for_state(row_id, "connected")
    before = {row_id: (testbed.status(row_id).generation, testbed.events(row_id)) for row_id in connected}
    total = len(rows) + len(connected)
    with (
        ApiServer(testbed.database_url, tmp_path / "api.log", BOTH_KEYS) as api,
        Load(api, rows[:-1]) as load,
    ):
        wait_until(lambda: len(load.statuses) > 20, LIMIT_S, "the load")
        rotation = rotate(testbed.database_url, **BOTH_KEYS)
        said, _ = rotation.communicate(timeout=LIMIT_S)
        enough = len(load.statuses) + 20
        wait_until(lambda: len(load.statuses) > enough, LIMIT_S, "the load after the rotation")
    assert rotation.returncode == 0, said
    assert set(load.statuses) == {200}, api.log_path.read_text()[-2000:]
    assert f"Key {testbed.sealer.key_id} is no longer used anywhere" in said
    assert "done." in said
    assert sealed_with(testbed) == {NEW.key_id: total}
    assert find_keys_in_use(testbed.database) == [NEW.key_id]
    for row_id in rows:
        assert password_of(testbed, row_id) == load.passwords.get(row_id, PASSWORD)
    for gateway in site.gateways:
        assert (gateway.logins, gateway.sessions_closed, gateway.open_sessions) == (1, [], 1)
    for row_id in connected:
        assert (testbed.status(row_id).generation, testbed.events(row_id)) == before[row_id]
        assert password_of(testbed, row_id) == PASSWORD


def test_a_killed_rotation_continues_where_it_was(testbed: WorkerTestBed, rows: list[UUID]) -> None:
    old = testbed.sealer.key_id
    with held_at(testbed, rows[BATCH + BATCH // 2]) as is_waiting:
        rotation = rotate(testbed.database_url, **BOTH_KEYS)
        wait_until(is_waiting, LIMIT_S, "the second batch")
        rotation.kill()
        rotation.communicate(timeout=LIMIT_S)
    assert sealed_with(testbed) == {NEW.key_id: BATCH, old: len(rows) - BATCH}
    assert find_keys_in_use(testbed.database) == [old, NEW.key_id]
    again = rotate(testbed.database_url, **BOTH_KEYS)
    said, _ = again.communicate(timeout=LIMIT_S)
    assert again.returncode == 0, said
    assert f"{len(rows) - BATCH} passwords to re-encrypt" in said
    assert sealed_with(testbed) == {NEW.key_id: len(rows)}
    assert {password_of(testbed, row_id) for row_id in rows} == {PASSWORD}


def test_a_concurrent_password_change_is_kept(testbed: WorkerTestBed, rows: list[UUID]) -> None:
    changed = rows[3]
    with psycopg.connect(testbed.database_url) as other:
        other.execute(
            "UPDATE gateways SET sealed_password = %s WHERE id = %s",
            [testbed.sealer.seal(Secret("changed"), changed), changed],
        )
        rotation = rotate(testbed.database_url, **BOTH_KEYS)
        wait_until(
            lambda: sealed_with(testbed).get(testbed.sealer.key_id) == 1, LIMIT_S, "all others to be done"
        )
        other.commit()
    assert rotation.communicate(timeout=LIMIT_S)
    assert rotation.returncode == 0
    assert password_of(testbed, changed) == "changed"
    assert testbed.rows("SELECT generation FROM gateways WHERE id = %s", changed)[0].generation == 3


def test_a_change_waiting_for_the_rotation_is_applied_after_it(
    testbed: WorkerTestBed, rows: list[UUID]
) -> None:
    changed = rows[3]
    testbed.sealer = BOTH
    with held_at(testbed, rows[5]) as is_waiting:
        rotation = rotate(testbed.database_url, **BOTH_KEYS)
        wait_until(is_waiting, LIMIT_S, "the first batch")
        change = threading.Thread(target=lambda: testbed.change(changed, password="changed"), daemon=True)
        change.start()
        blocked = "SELECT FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
        wait_until(lambda: len(session_rows(testbed, blocked)) == 2, LIMIT_S, "the change to wait")
    change.join(LIMIT_S)
    rotation.communicate(timeout=LIMIT_S)
    assert rotation.returncode == 0
    assert password_of(testbed, changed) == "changed"


def session_rows(testbed: WorkerTestBed, statement: str) -> list[object]:
    """Return a statement's rows about this database's sessions."""
    return testbed.rows(f"{statement} AND datname = current_database()")


def test_reencryption_changes_nothing_else_and_notifies_no_worker(
    testbed: WorkerTestBed, rows: list[UUID]
) -> None:
    # The writing transaction changes: workers read the row and find no change.
    everything = (
        "SELECT to_jsonb(g) - 'sealed_password' - 'modified_xid' AS rest FROM gateways AS g ORDER BY id"
    )
    before = testbed.rows(everything)
    with psycopg.connect(testbed.database_url, autocommit=True) as listener:
        listener.execute("LISTEN gateways_changed")
        assert Rotation(testbed.database, BOTH, say_nothing).run()
        listener.execute("SELECT pg_notify('gateways_changed', 'mark')")
        received = [notice.payload for notice in listener.notifies(timeout=10, stop_after=1)]
    assert received == ["mark"]
    assert testbed.rows(everything) == before
    # With that setting no statement can change anything else.
    testbed.rows("BEGIN; SET LOCAL millgate.reencrypting = 'yes'; UPDATE gateways SET name = 'other'; COMMIT")
    assert testbed.rows(everything) == before


def test_a_retired_key_seals_nothing_more(testbed: WorkerTestBed, rows: list[UUID]) -> None:
    assert Rotation(testbed.database, BOTH, say_nothing).run()
    with pytest.raises(DatabaseError, match="gateways_sealed_with_key_in_use"):
        testbed.change(rows[0], password="sealed with a retired key")
    with pytest.raises(DatabaseError, match="gateways_sealed_with_key_in_use"):
        testbed.add("CTC-late", NOWHERE)
    assert password_of(testbed, rows[0]) == PASSWORD
    testbed.change(rows[0], name="other")


def test_every_key_in_use_has_to_be_there_at_start(testbed: WorkerTestBed, rows: list[UUID]) -> None:
    def check(*keys: str, will_seal: bool = False) -> None:
        with testbed.database.transaction() as transaction:
            check_key(
                transaction, Sealer(Secret(keys[0]), [Secret(key) for key in keys[1:]]), will_seal=will_seal
            )

    check(KEY)
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEYS_OLD"):
        check(NEW_KEY, will_seal=True)
    # A worker only decrypts: nothing is sealed with its new key yet, and the others keep the old one.
    check(NEW_KEY, KEY)
    check(KEY)
    check(NEW_KEY, KEY, will_seal=True)
    for keys in ([KEY], [NEW_KEY], [THIRD_KEY, KEY]):
        with pytest.raises(ConfigurationError) as refused:
            check(*keys)
        assert not [key for key in keys if key in str(refused.value)]
    assert Rotation(testbed.database, BOTH, say_nothing).run()
    check(NEW_KEY)
    with pytest.raises(ConfigurationError):
        check(KEY)


def test_an_undecryptable_password_is_reported_and_keeps_its_key_in_use(
    testbed: WorkerTestBed, rows: list[UUID]
) -> None:
    broken = rows[7]
    [row] = testbed.rows("SELECT sealed_password FROM gateways WHERE id = %s", broken)
    damaged = row.sealed_password[:-1] + bytes([row.sealed_password[-1] ^ 1])
    testbed.rows("UPDATE gateways SET sealed_password = %s WHERE id = %s", damaged, broken)
    said: list[str] = []
    assert not Rotation(testbed.database, BOTH, said.append).run()
    assert [line for line in said if str(broken) in line]
    assert said[-1] == f"Key {testbed.sealer.key_id} is still in use: keep it, and run this again."
    assert sealed_with(testbed) == {NEW.key_id: len(rows) - 1, testbed.sealer.key_id: 1}
    testbed.change(broken, name="renamed nevertheless")
    testbed.sealer = BOTH
    testbed.change(broken, password="stored again")
    assert Rotation(testbed.database, BOTH, said.append).run()
    assert password_of(testbed, broken) == "stored again"


def test_a_missing_old_key_or_database_is_reported_in_one_line(
    testbed: WorkerTestBed, rows: list[UUID]
) -> None:
    for url, keys in (
        (testbed.database_url, {"ENCRYPTION_KEY": NEW_KEY}),
        (testbed.database_url, {"ENCRYPTION_KEY": NEW_KEY, "ENCRYPTION_KEYS_OLD": "no key"}),
        (testbed.database_url, {}),
        ("postgresql://127.0.0.1:9/none", BOTH_KEYS),
    ):
        rotation = rotate(url, **keys)
        said, _ = rotation.communicate(timeout=LIMIT_S)
        assert rotation.returncode == 1
        assert len(said.splitlines()) == 1, said
        assert NEW_KEY not in said
        assert "no key" not in said
    assert sealed_with(testbed) == {testbed.sealer.key_id: len(rows)}


def test_a_password_stored_at_the_last_moment_keeps_its_key_in_use(
    testbed: WorkerTestBed, rows: list[UUID]
) -> None:
    """It is not committed yet when everything else is done."""
    said: list[str] = []
    late = testbed.rows("SELECT uuidv7() AS id")[0].id
    sealed = testbed.sealer.seal(Secret("late"), late)
    rotation = threading.Thread(
        target=lambda: Rotation(testbed.database, BOTH, said.append).run(), daemon=True
    )
    with psycopg.connect(testbed.database_url) as other:
        other.execute(
            "INSERT INTO gateways (id, factory_id, device_id, name, url, email, sealed_password)"
            " VALUES (%s, %s, 'CTC-late', 'late', 'ws://late', 'late@example.com', %s)",
            [late, testbed.factory_id, sealed],
        )
        rotation.start()
        blocked = "SELECT FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
        wait_until(lambda: session_rows(testbed, blocked), LIMIT_S, "the rotation to wait for it")
        other.commit()
    rotation.join(LIMIT_S)
    assert said[-1] == f"Key {testbed.sealer.key_id} is still in use: keep it, and run this again."
    assert Rotation(testbed.database, BOTH, said.append).run()
    assert password_of(testbed, late) == "late"


def test_passwords_can_be_stored_while_key_checks_are_removed(
    testbed: WorkerTestBed,
) -> None:
    [row_id] = testbed.add_all([("AP-1", "ws://127.0.0.1:9")])
    stopping = threading.Event()

    def leave_and_remove() -> None:
        while not stopping.is_set():
            with testbed.database.transaction() as transaction:
                check_key(transaction, testbed.sealer)
            testbed.rows("DELETE FROM encryption_key_checks")

    thread = threading.Thread(target=leave_and_remove)
    thread.start()
    try:
        for number in range(1000):
            testbed.change(row_id, password=f"secret {number}")
    finally:
        stopping.set()
        thread.join(5)
