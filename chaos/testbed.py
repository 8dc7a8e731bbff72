"""One row's world: a database, an API, workers and gateways, all real, and what can be asked of them."""

import http.client
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg.rows import namedtuple_row

from chaos.api_server import Api
from chaos.proxy import Proxy
from chaos.worker_process import CLOCK_DIRECTORY, WorkerProcess
from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox
from devstack.postgres.migrated import migrate
from devstack.postgres.server import EmbeddedPostgres
from devstack.run.environment import new_encryption_key
from simulator import Credentials, Gateway, Site

EMAIL = "chaos@example.com"
REGISTER_LIMIT_S = 60.0
REGISTER_AT_ONCE = 4
Status = dict[str, Any]

HELD_BY = """
SELECT c.gateway_id::text AS id
FROM gateway_connections AS c JOIN workers AS w ON c.worker_id = w.id
WHERE w.pid = %s AND w.ended_at IS NULL
"""
COUNT_HELD = "SELECT gateways_held FROM workers WHERE pid = %s AND ended_at IS NULL"


class ChaosTestBed:
    """Everything of one row. For the row's thread; leaving it ends all."""

    def __init__(self, sandbox: Sandbox, name: str, settings: Mapping[str, str] | None = None) -> None:
        """`settings`: environment variables for workers that differ from the defaults."""
        self.sandbox = sandbox
        self.directory = sandbox.path / name
        self.directory.mkdir()
        self.settings = dict(settings or {})
        self.key = new_encryption_key()
        self.password = secrets.token_urlsafe(12)
        self.ids: dict[str, str] = {}
        """The row id of each registered gateway, by its gateway id."""
        self._name = name
        self._stack = ExitStack()
        self._database_url: str | None = None
        self._api: Api | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all. Harmless twice."""
        self._stack.close()

    def on_close(self, end: Callable[[], object]) -> None:
        """Has something ended with the test bed, before what was started earlier."""
        self._stack.callback(end)

    def say(self, text: str) -> None:
        """Tells how far the row is."""
        self.sandbox.say(f"{self._name}: {text}")

    # The parts.

    @property
    def database_url(self) -> str:
        """The row's database; without `start_server` one of the server that rows share."""
        if self._database_url is None:
            self._database_url = self.sandbox.new_database()
        return self._database_url

    def start_server(self) -> EmbeddedPostgres:
        """A migrated PostgreSQL of this row's own, which it may stop and kill. To be called first."""
        server = EmbeddedPostgres(self.directory / "postgres")
        self.sandbox.start_server(server)
        self._stack.callback(server.stop, limit_s=1)
        self.use_database(server.url())
        return server

    def use_database(self, url: str) -> None:
        """The row's database from now on, which is migrated here."""
        migrate(url)
        self._database_url = url

    @property
    def api(self) -> Api:
        """The row's API, started when first asked for."""
        if self._api is None:
            self._api = Api(self.sandbox, self.directory, self.database_url, self.key)
            self._stack.callback(self._api.close)
        return self._api

    def start_worker(
        self,
        *,
        database_url: str | None = None,
        clock_error_s: float = 0,
        file_limit: int | None = None,
        runs_first: Path | None = None,
        **changes: str,
    ) -> WorkerProcess:
        """A worker; returns when it is registered. `changes`: settings that differ from the defaults.

        `clock_error_s`: how far its wall clock is ahead. `runs_first`: see WorkerProcess.
        """
        environment = {
            "DATABASE_URL": database_url or self.database_url,
            "ENCRYPTION_KEY": self.key,
            **self.settings,
            **changes,
        }
        if clock_error_s:
            environment["CLOCK_ERROR_S"] = str(clock_error_s)
            runs_first = CLOCK_DIRECTORY
        worker = WorkerProcess(self.sandbox, self.directory, environment, runs_first, file_limit)
        self._stack.callback(worker.close)
        if self.wait(lambda: bool(self.rows(COUNT_HELD, worker.pid)), 20) is None:
            raise StackError("a worker did not register")
        return worker

    def start_site(
        self,
        count: int,
        prefix: str = "AP-",
        *,
        shared_port: bool = False,
        password: str | None = None,
    ) -> Site:
        """Gateways, each on a port of its own unless `shared_port`; `password`: if not the registered one."""
        names = [f"{prefix}{number:04d}" for number in range(1, count + 1)]
        credentials = Credentials(EMAIL, password or self.password)
        site = Site.start(names, credentials=credentials, one_port_each=not shared_port)
        return self._stack.enter_context(site)

    def start_proxy(self, server_port: int) -> Proxy:
        """A proxy in front of a port."""
        return self._stack.enter_context(Proxy(server_port))

    def start(self, count: int) -> tuple[Site, WorkerProcess]:
        """Gateways, registered, and a worker that has them connected. Raises StackError."""
        site = self.start_site(count)
        self.register(urls_of(site))
        worker = self.start_worker()
        self.await_connected(self.ids)
        return site, worker

    # Over the API.

    def register(self, urls: Mapping[str, str]) -> None:
        """Registers gateways (ids with URLs) over HTTP, in a factory of their own."""
        factory = self._created("/api/factories", {"name": "Mill"})

        def register_one(gateway_id: str) -> tuple[str, str]:
            body = {
                "factory_id": factory["id"],
                "gateway_id": gateway_id,
                "name": gateway_id,
                "url": urls[gateway_id],
                "email": EMAIL,
                "password": self.password,
            }
            return gateway_id, self._created("/api/gateways", body)["id"]

        with ThreadPoolExecutor(REGISTER_AT_ONCE) as pool:
            self.ids.update(pool.map(register_one, urls))

    def import_all(self, urls: Mapping[str, str]) -> None:
        """Registers many gateways (ids with URLs) with one request, in a factory of their own."""
        factory = self._created("/api/factories", {"name": "Mill"})
        rows = [
            {
                "factory_id": factory["id"],
                "gateway_id": gateway_id,
                "name": gateway_id,
                "url": url,
                "email": EMAIL,
                "password": self.password,
            }
            for gateway_id, url in urls.items()
        ]
        reply = self.api.post_lines("/api/gateways/import", rows)
        if reply.status != http.client.CREATED:
            raise StackError(f"the import was answered {reply.status}: {str(reply.json)[:200]}")

    def _created(self, path: str, body: dict[str, str]) -> Status:
        reply = self.api.call("POST", path, body)
        if reply.status != http.client.CREATED:
            raise StackError(f"POST {path} was answered {reply.status}")
        answer: Status = reply.json
        return answer

    def status(self, gateway_id: str) -> Status:
        """What GET …/status says of a gateway; without `state` where it is no good answer."""
        try:
            reply = self.api.call("GET", f"/api/gateways/{self.ids[gateway_id]}/status")
        except (OSError, http.client.HTTPException):
            return {"state": None}
        answer: Status = reply.json
        return answer if reply.status == http.client.OK else {"state": None}

    def wait_for(
        self, gateway_ids: Iterable[str], holds: Callable[[Status], bool], limit_s: float
    ) -> float | None:
        """When the last of these gateways had once had such a status; None: not all had in time."""
        waiting = list(gateway_ids)

        def all_had() -> bool:
            waiting[:] = [each for each in waiting if not holds(self.status(each))]
            return not waiting

        return self.wait(all_had, limit_s)

    def await_connected(self, gateway_ids: Iterable[str], limit_s: float = REGISTER_LIMIT_S) -> None:
        """Waits until gateways are shown connected. Raises StackError."""
        if self.wait_for(gateway_ids, lambda status: status["state"] == "connected", limit_s) is None:
            raise StackError(f"not all gateways were connected within {limit_s:g} s")

    # In the database, where one question is about all.

    def rows(self, statement: LiteralString, *parameters: object) -> list[Any]:
        """What a statement returns."""
        with psycopg.connect(self.database_url, autocommit=True, row_factory=namedtuple_row) as connection:
            cursor = connection.execute(statement, parameters)
            return [] if cursor.description is None else cursor.fetchall()

    def held_by(self, worker: WorkerProcess) -> list[str]:
        """The gateway ids of what a live worker holds."""
        held = {row.id for row in self.rows(HELD_BY, worker.pid)}
        return [gateway_id for gateway_id, row_id in self.ids.items() if row_id in held]

    def count_in_state(self, state: str) -> int:
        """How many gateways have this status."""
        counted = self.rows("SELECT count(*) FROM gateway_statuses WHERE state = %s", state)
        return int(counted[0][0])

    def broken_histories(self) -> list[str]:
        """Gateways whose history has a hole: a transition that does not begin where the last one ended."""
        events = self.rows(
            """
            SELECT DISTINCT g.device_id FROM (
                SELECT
                    gateway_id, from_state,
                    lag(to_state) OVER (PARTITION BY gateway_id ORDER BY id) AS before
                FROM gateway_events
            ) AS e JOIN gateways AS g ON e.gateway_id = g.id
            WHERE e.before IS NOT NULL AND e.before <> e.from_state
            """
        )
        return [event.device_id for event in events]

    # Time.

    def wait(self, holds: Callable[[], bool], limit_s: float) -> float | None:
        """As Sandbox.wait_until."""
        return self.sandbox.wait_until(holds, limit_s)

    def pause(self, seconds: float) -> None:
        """As Sandbox.pause."""
        self.sandbox.pause(seconds)


def since(began: float, at: float | None) -> float | None:
    """Seconds between two moments, the second of which may never have come."""
    return None if at is None else at - began


def urls_of(site: Site) -> dict[str, str]:
    """The gateways of a site, as `ChaosTestBed.register` takes them."""
    return {gateway.gateway_id: gateway.url for gateway in site.gateways}


def most_sessions(gateways: Sequence[Gateway]) -> int:
    """The most sessions that any of these gateways ever had at once."""
    return max(gateway.max_open_sessions for gateway in gateways)


def with_port(database_url: str, server_port: int, port: int) -> str:
    """The URL of the same database by way of another port on loopback."""
    return database_url.replace(f"@127.0.0.1:{server_port}/", f"@127.0.0.1:{port}/")


def port_of(database_url: str) -> int:
    """The port in a URL of ours."""
    return int(database_url.rpartition("@127.0.0.1:")[2].partition("/")[0])
