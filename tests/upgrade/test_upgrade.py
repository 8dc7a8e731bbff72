"""The current code on each release's migrated database: all data is readable, and work continues.

A release's schema, rows and responses are in the folder of its version (see `tests.upgrade.record`).
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack.postgres.migrated import migrate
from simulator import Credentials, Site
from tests.support.api_server import ApiServer, Reply
from tests.support.migrations import dumped
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess
from tests.support.worker_settings import EMAIL, PASSWORD
from tests.upgrade.record import DEVICES, LIMIT_S, PLACEHOLDER
from tests.upgrade.releases import RELEASES, empty_database_of

# Rows are inserted unchanged: no trigger recomputes their values, except those of gateway_counts.
AS_WRITTEN = "SET session_replication_role = replica;"
NEXT_IDS = """
SELECT setval(pg_get_serial_sequence('gateway_events', 'id'), (SELECT max(id) FROM gateway_events)),
    setval(pg_get_serial_sequence('gateway_wishes', 'id'), (SELECT max(id) FROM gateway_wishes)),
    setval('worker_epochs', (SELECT max(epoch) FROM workers))
"""
# Fields whose values differ each time.
NOW = {"as_of"}


@dataclass(frozen=True)
class Release:
    """A version, its database before migration, and its responses."""

    version: str
    database_url: str
    recorded: dict[str, Any] = field(repr=False)

    def id_of(self, name: str) -> str:
        """Return the id of a factory or gateway."""
        return str(self.recorded["ids"][name])


@pytest.fixture(params=RELEASES)
def release(
    request: pytest.FixtureRequest, server_admin: psycopg.Connection, server_url: str, site: Site
) -> Iterator[Release]:
    """Yield a release with its database, pointing to this test's gateways."""
    rows, responses = recording(request.param, site.gateways[0].url.split("/")[2])
    with empty_database_of(request.param, server_admin, server_url) as url:
        with psycopg.connect(url) as connection:
            connection.execute((AS_WRITTEN + rows).encode())
            connection.execute(NEXT_IDS)
        yield Release(request.param, url, json.loads(responses))


def recording(version: str, address: str = PLACEHOLDER) -> tuple[str, str]:
    """Return the recorded text with another address for the gateways."""
    place = Path(__file__).parent / version
    rows, responses = ((place / name).read_text() for name in ("rows.sql", "responses.json"))
    return rows.replace(PLACEHOLDER, address), responses.replace(PLACEHOLDER, address)


@pytest.fixture
def site() -> Iterator[Site]:
    """Yield the gateways of the recording."""
    with Site.start(DEVICES, credentials=Credentials(EMAIL, PASSWORD)) as started:
        yield started


@pytest.fixture
def api(release: Release, tmp_path: Path) -> Iterator[ApiServer]:
    """Yield the current API with required tokens on the migrated database."""
    migrate(release.database_url)
    with ApiServer(release.database_url, tmp_path / "api.log", {"AUTH": "required"}) as started:
        yield started


def ask(release: Release, api: ApiServer, path: str, method: str = "GET") -> Reply:
    """With the token of the release."""
    return api.call(method, path, headers={"Authorization": f"Bearer {release.recorded['token']}"})


def differences(was: Any, now: Any, at: str = "") -> list[str]:
    """Return what is in the old response and not in the new one, which may have more fields."""
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(f"{at}.{name}", was[name], now.get(name)) for name in was if name not in NOW]
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = [(f"{at}[{place}]", *both) for place, both in enumerate(zip(was, now, strict=True))]
    else:
        return [] if was == now else [f"{at}: {was!r}, now {now!r}"]
    return [line for place, old, new in pairs for line in differences(old, new, place)]


@pytest.mark.req("DB-02")
def test_an_upgraded_database_has_the_schema_of_a_new_one(release: Release, database_url: str) -> None:
    """Even if the release's migrations have been changed since."""
    migrate(release.database_url)
    assert dumped(release.database_url) == dumped(database_url)


@pytest.mark.req("DB-02")
def test_everything_is_readable_as_it_was(release: Release, api: ApiServer) -> None:
    for path, was in release.recorded["responses"].items():
        reply = ask(release, api, path)
        assert reply.status == 200, (path, reply.body)
        assert differences(was, reply.json) == [], path


@pytest.mark.req("LIFECYCLE-04", "CRYPTO-03", "STATUS-03")
def test_gateways_are_held_and_connected_as_they_were_wanted(
    release: Release, api: ApiServer, site: Site, tmp_path: Path
) -> None:
    def status_of(name: str) -> dict[str, Any]:
        status: dict[str, Any] = ask(release, api, f"/api/gateways/{release.id_of(name)}/status").json
        return status

    # The release's worker was killed during this session.
    assert status_of("connected")["state"] == "unknown"
    # The recorded history is older than the default retention.
    worker = WorkerProcess(release.database_url, tmp_path, {"EVENT_RETENTION_DAYS": "3650"})
    try:
        for name, state in (("connected", "connected"), ("disconnected", "disconnected")):
            wait_until(lambda name=name, state=state: status_of(name)["state"] == state, LIMIT_S, name)  # type: ignore[misc]
        # A stored password decrypts: the gateway has accepted it. So does one that it rejects.
        wait_until(lambda: status_of("rejected")["state"] == "auth_failed", LIMIT_S, "auth_failed")
        assert status_of("rejected")["reason"]["code"] == "login_rejected"
        for name in ("connected", "disconnected", "rejected"):
            path = f"/api/gateways/{release.id_of(name)}/events?limit=100"
            before = release.recorded["responses"][path]["data"]
            after = ask(release, api, path).json["data"]
            assert differences(before, after[-len(before) :]) == [], name
    finally:
        assert worker.terminate() == 0
    assert "password_unreadable" not in worker.log


@pytest.mark.req("FACTORY-02", "GATEWAY-02")
def test_a_cursor_of_the_release_stays_valid(release: Release, api: ApiServer) -> None:
    for path, recorded in release.recorded["pages"].items():
        reply = ask(release, api, f"{path}&cursor={recorded['cursor']}")
        assert reply.status == 200, (path, reply.body)
        assert differences(recorded["page"], reply.json["data"]) == [], path


def test_a_follower_of_events_continues_after_the_upgrade(release: Release, tmp_path: Path) -> None:
    cursor = moved_event_cursor(release)
    migrate(release.database_url)
    with ApiServer(release.database_url, tmp_path / "api.log", {"AUTH": "required"}) as api:
        reply = ask(release, api, f"/api/events?after={cursor}&limit=100")
        assert reply.status == 200, reply.body
        with psycopg.connect(release.database_url) as connection:
            behind = connection.execute("SELECT id FROM gateway_events WHERE id > 5 ORDER BY id").fetchall()
        assert [(event["id"],) for event in reply.json["data"]] == behind
        # A cursor of another database is rejected.
        other = ask(release, api, f"/api/events?after={release.recorded['event_cursor']}")
        assert (other.status, other.error["code"]) == (410, "CURSOR_EXPIRED")


def moved_event_cursor(release: Release) -> str:
    """Return the recorded cursor as if it came from this database: after event 5."""
    recorded = release.recorded["event_cursor"]
    scope = base64.urlsafe_b64decode(recorded + "=" * (-len(recorded) % 4))[:8]
    with psycopg.connect(release.database_url) as connection:
        row = connection.execute(
            "SELECT event_stream(), written_by::text::bigint FROM gateway_events WHERE id = 5"
        ).fetchone()
    assert row is not None
    stream = blake2b(str(row[0]).encode(), digest_size=8).digest()
    return base64.urlsafe_b64encode(struct.pack(">8s8sQQ", scope, stream, row[1], 5)).rstrip(b"=").decode()
