"""`python -m tests.upgrade.record VERSION`: records what this code writes and answers, for later releases.

Run once at each release. Writes `tests/upgrade/VERSION/`: the schema, the rows that the API and a worker
wrote for simulated gateways, and the API's responses about them. The worker is killed in the middle of its
sessions.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
from psycopg import sql

from devstack.checks.generated import SCHEMA
from devstack.postgres.migrated import migrate
from devstack.postgres.server import EmbeddedPostgres
from devstack.project import PROJECT
from simulator import Credentials, Site
from tests.support.api_server import ApiServer
from tests.support.database_server import SETTINGS
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess
from tests.support.worker_settings import EMAIL, PASSWORD

DEVICES = ["AP-1", "AP-2", "AP-3"]
PLACEHOLDER = "127.0.0.1:5000"
"""The simulated gateways' address in the recording."""
TABLES = (
    "organizations",
    "factories",
    "gateways",
    "workers",
    "gateway_connections",
    "gateway_events",
    "desired_state_changes",
    "api_tokens",
    "encryption_key_checks",
    "event_pruning",
)
LIMIT_S = 30.0
PAGED = (
    "/api/factories?limit=1",
    "/api/gateways?limit=1",
    "/api/gateways?limit=1&factory_id={factory}",
    "/api/gateways?limit=1&sort=-created_at",
    "/api/gateways/{connected}/events?limit=2",
    "/api/status/summary?limit=1",
)


@dataclass
class Recorder:
    """One API, and the recorded requests."""

    api: ApiServer
    ids: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return a response's body; assert success."""
        reply = self.api.call(method, path, body)
        assert reply.status < 300, (method, path, reply.status, reply.body)
        return reply.json if reply.body else None

    def add_factory(self, name: str, **more: object) -> str:
        """Its id."""
        return str(self.call("POST", "/api/factories", {"name": name, **more})["id"])

    def add_gateway(
        self, factory: str, device: str, url: str, password: str = PASSWORD, **more: object
    ) -> str:
        """Its id."""
        body = {"factory_id": factory, "gateway_id": device, "name": f"Gateway {device}", "url": url}
        return str(
            self.call("POST", "/api/gateways", {**body, "email": EMAIL, "password": password, **more})["id"]
        )

    def wait_for(self, gateway: str, state: str) -> None:
        """Wait until the status shows the state."""
        path = f"/api/gateways/{gateway}/status"
        wait_until(lambda: self.call("GET", path)["state"] == state, LIMIT_S, f"{gateway} {state}")


def write_everything(recorder: Recorder, urls: list[str]) -> None:
    """Create factories and gateways in every lasting condition, as after some time of use."""
    metadata = {"line": 7, "tags": ["a", "ß"]}
    mill = recorder.add_factory(
        "Papierfabrik Süd", location="Hall 1", timezone="Europe/Berlin", metadata=metadata
    )
    saw = recorder.add_factory("Sawmill", timezone="America/New_York")
    closed = recorder.add_factory("Closed works")
    more: dict[str, Any] = {"model": "CTC Connect", "firmware_version": "2.1", "metadata": {"floor": 3}}
    connected = recorder.add_gateway(mill, DEVICES[0], urls[0], **more)
    disconnected = recorder.add_gateway(mill, DEVICES[1], urls[1])
    rejected = recorder.add_gateway(saw, DEVICES[2], urls[2], "wrong")
    deleted = recorder.add_gateway(saw, "CTC-deleted", "ws://127.0.0.1:9")
    recorder.add_gateway(closed, "CTC-with-factory", "ws://127.0.0.1:9")
    for gateway, state in (
        (connected, "connected"),
        (disconnected, "connected"),
        (rejected, "auth_failed"),
        (deleted, "retrying"),
    ):
        recorder.wait_for(gateway, state)
    recorder.call("POST", f"/api/gateways/{disconnected}/disconnect")
    recorder.wait_for(disconnected, "disconnected")
    recorder.call("DELETE", f"/api/gateways/{deleted}")
    recorder.call("DELETE", f"/api/factories/{closed}")
    recorder.call("PATCH", f"/api/gateways/{connected}", {"name": "Press section"})
    recorder.ids = {
        "factory": mill,
        "connected": connected,
        "disconnected": disconnected,
        "rejected": rejected,
    }


def record_responses(recorder: Recorder, until: datetime) -> dict[str, object]:
    """Record the responses about all this, and what clients may keep, such as cursors."""
    gateways = [recorder.ids[name] for name in ("connected", "disconnected", "rejected")]
    period = urlencode({"from": f"{until:%Y-%m-%d}T00:00:00Z", "to": f"{until.isoformat()}"})
    paths = [
        *(f"/api/{kind}{query}" for kind in ("factories", "gateways") for query in ("", "?deleted=only")),
        f"/api/factories/{recorder.ids['factory']}",
        *(f"/api/gateways/{gateway}" for gateway in gateways),
        *(f"/api/gateways/{gateway}/events?limit=100" for gateway in gateways),
        *(f"/api/gateways/{gateway}/availability?{period}" for gateway in gateways),
    ]
    pages = {}
    for path in (path.format(**recorder.ids) for path in PAGED):
        cursor = recorder.call("GET", path)["pagination"]["next_cursor"]
        page = recorder.call("GET", f"{path}&cursor={cursor}")["data"]
        pages[path] = {"cursor": cursor, "page": page}
    return {
        "ids": recorder.ids,
        "responses": {path: recorder.call("GET", path) for path in paths},
        "pages": pages,
        "event_cursor": recorder.call("GET", "/api/events")["cursor"],
    }


def dump(database_url: str) -> Iterator[str]:
    """Return the rows as INSERT statements without generated columns."""
    with psycopg.connect(database_url) as connection:
        for table in TABLES:
            found = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped AND attgenerated = '' AND atttypid <> 'xid8'::regtype ORDER BY attnum",
                [table],
            )
            names = [sql.Identifier(name) for (name,) in found]
            columns = sql.SQL(", ").join(names)
            values = sql.SQL(", ").join(sql.SQL("quote_nullable({}::text)").format(name) for name in names)
            table_name = sql.Identifier(table)
            rows = connection.execute(sql.SQL("SELECT {} FROM {} ORDER BY 1").format(values, table_name))
            start = sql.SQL("INSERT INTO {} ({})").format(table_name, columns).as_string(connection)
            for row in rows:
                yield f"{start} OVERRIDING SYSTEM VALUE VALUES ({', '.join(row)});\n"


def create_token(database_url: str) -> str:
    """Create a token with scope write."""
    command = [sys.executable, "-m", "service.manage_tokens", "create", "first", "write"]
    environment = {"DATABASE_URL": database_url, "PYTHONPATH": str(PROJECT)}
    made = subprocess.run(
        command, cwd="/", env=environment, capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    return made.stdout.strip()


@contextmanager
def running(directory: Path) -> Iterator[tuple[str, Recorder, WorkerProcess, Site]]:
    """Run PostgreSQL, an API, a worker and simulated gateways."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres(directory / "postgres", SETTINGS))
        migrate(server.url())
        credentials = Credentials(EMAIL, PASSWORD)
        site = stack.enter_context(Site.start(DEVICES, credentials=credentials))
        api = stack.enter_context(ApiServer(server.url(), directory / "api.log"))
        worker = WorkerProcess(server.url(), directory, {})
        stack.callback(worker.kill)
        yield server.url(), Recorder(api), worker, site


def main() -> None:
    """Record and write the files."""
    place = Path(__file__).parent / sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        with running(directory) as (database_url, recorder, worker, site):
            write_everything(recorder, [gateway.url for gateway in site.gateways])
            until = datetime.now(UTC)
            token = create_token(database_url)
            worker.kill()
            recorded = {"token": token, **record_responses(recorder, until)}
            rows = "".join(dump(database_url))
            address = urlsplit(site.gateways[0].url).netloc
    place.mkdir(exist_ok=True)
    shutil.copy(PROJECT / SCHEMA, place)
    (place / "rows.sql").write_text(rows.replace(address, PLACEHOLDER))
    text = json.dumps(recorded, indent=1, ensure_ascii=False)
    (place / "responses.json").write_text(text.replace(address, PLACEHOLDER) + "\n")


if __name__ == "__main__":
    main()
