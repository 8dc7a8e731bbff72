"""Everything that a person at the page uses: a database, an API, a worker and gateways, all real."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from simulator import Credentials, Gateway, Site
from tests.support.api_server import ApiServer
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess
from tests.support.worker_settings import EMAIL, PASSWORD

STATE_LIMIT_S = 15.0
# A lease that holds on a busy machine.
LEASE: Mapping[str, str] = {"LEASE_S": "10", "HEARTBEAT_S": "1", "LEASE_MARGIN_S": "1"}


class FullStack:
    """One API and one worker on a database. For one thread."""

    def __init__(
        self,
        database_url: str,
        directory: Path,
        api_settings: Mapping[str, str] | None = None,
        worker_settings: Mapping[str, str] | None = None,
    ) -> None:
        """The settings are environment variables that differ from those of the tests."""
        self.database_url = database_url
        self.api = ApiServer(database_url, directory / "api.log", api_settings or {})
        self.worker: WorkerProcess
        self._directory = directory
        self._worker_settings = {**LEASE, **(worker_settings or {})}
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        with self._parts as parts:
            self.start_worker()
            parts.enter_context(self.api)
            # A graceful end takes seconds.
            parts.callback(self.api.kill)
            wait_until(self._is_ready, STATE_LIMIT_S, "the worker to register")
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def origin(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.api.port}"

    def start_worker(self) -> WorkerProcess:
        """A worker; the first one is started with the stack."""
        self.worker = WorkerProcess(self.database_url, self._directory, self._worker_settings)
        self._parts.callback(self.worker.kill)
        return self.worker

    def start_site(self, *gateway_ids: str, password: str = PASSWORD) -> Site:
        """Simulated gateways, each on its own port."""
        site = Site.start(list(gateway_ids), credentials=Credentials(EMAIL, password), one_port_each=True)
        return self._parts.enter_context(site)

    def register(self, factory_id: str, gateway: Gateway, **values: object) -> str:
        """Add a simulated gateway as a client of the API does; returns the id of its row."""
        body = {"url": gateway.url, "email": EMAIL, "password": PASSWORD, **values}
        return str(self.api.gateway(factory_id, gateway.gateway_id, **body)["id"])

    def status(self, row_id: str) -> dict[str, Any]:
        """What the API says of a gateway."""
        reply = self.api.call("GET", f"/api/gateways/{row_id}/status")
        assert reply.status == 200, reply.body
        status: dict[str, Any] = reply.json
        return status

    def wait_for_state(self, row_id: str, state: str) -> dict[str, Any]:
        """Wait until the API says so, and return the whole status."""
        wait_until(lambda: self.status(row_id)["state"] == state, STATE_LIMIT_S, f"the state {state}")
        return self.status(row_id)

    def _is_ready(self) -> bool:
        assert self.worker.process.poll() is None, self.worker.log
        return self.api.call("GET", "/api/health/ready").status == 200
