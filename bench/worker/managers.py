"""The contestants: programs that keep the gateways of a fleet connected."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import LiteralString
from uuid import UUID

import psycopg

from bench import tools
from bench.environment import BenchEnvironment
from bench.processes import cpu_s, open_files, pss_bytes
from bench.worker.client import Client
from bench.worker.gateway_fleet import EMAIL, GatewayFleet
from bench.worker.seed import seed
from devstack.commands import API, WORKER, WORKER_ENVIRONMENT, local
from devstack.errors import StackError
from devstack.postgres.server import free_port
from devstack.processes.child import Child
from devstack.project import PROJECT
from devstack.run.environment import new_encryption_key

MILLGATE, NODE, ASYNCIO = "Millgate", "Node, ws", "asyncio, websockets"
START_LIMIT_S = 30.0
PEERS = PROJECT / "bench" / "peers"
COUNT_CONNECTED = "SELECT count(*) FROM gateway_statuses WHERE state = 'connected'"
SUM_MESSAGES = "SELECT coalesce(sum(messages_received), 0)::bigint FROM gateway_connections"


@dataclass(frozen=True, slots=True)
class Seen:
    """A gateway's status as its manager shows it. `since`: its session's start, in the manager's format."""

    is_connected: bool
    since: object


class Manager(ABC):
    """A program with its gateways, run from `start` to `close`. For one thread."""

    def __init__(self, env: BenchEnvironment, fleet: GatewayFleet) -> None:
        self.env = env
        self.fleet = fleet
        self.started_at = 0.0
        self._child: Child | None = None

    @abstractmethod
    def start(self) -> None:
        """Starts the process; returns before it is ready."""

    @abstractmethod
    def serve_status(self) -> None:
        """Returns when statuses can be requested. Raises StackError."""

    @abstractmethod
    def status(self, name: str) -> Seen:
        """Get a gateway's status over HTTP."""

    @abstractmethod
    def count_connected(self) -> int:
        """Count the gateways that it shows as connected."""

    @abstractmethod
    def messages_received(self) -> int:
        """Return how many notifications it has counted over all gateways."""

    @property
    def pid(self) -> int:
        """Return its process id. Raises StackError when there is none."""
        if self._child is None or self._child.process is None:
            raise StackError("a manager of gateways was not started")
        if self._child.exit_code() is not None:
            words = self._child.log_path.read_text(errors="replace").strip()[-300:]
            raise StackError(f"{self._child.name} has ended: {words}")
        return self._child.process.pid

    def await_subscribed(self, limit_s: float) -> float:
        """Return when the gateways saw the last subscription (monotonic seconds). Raises StackError."""
        return self.fleet.await_subscribed(len(self.fleet.names), limit_s, lambda: self.pid)

    @property
    def cpu_s(self) -> float:
        """Return the CPU seconds so far, children included."""
        return cpu_s(self.pid)

    @property
    def pss_bytes(self) -> int:
        """Return the memory, children included."""
        return pss_bytes(self.pid)

    @property
    def open_files(self) -> int:
        """Count the file descriptors, children included."""
        return open_files(self.pid)

    def close(self) -> None:
        """Kill it, so that the next measurement does not wait for closing handshakes. Harmless twice."""
        if self._child is not None:
            self._child.stop(0)

    def _run(self, name: str, command: tuple[str, ...], environment: dict[str, str]) -> None:
        self.started_at = monotonic()
        self._child = self.env.start(f"{name}-{free_port()}", command, environment)


class Millgate(Manager):
    """One worker with its own database, at default settings; an API when statuses are requested."""

    def __init__(self, env: BenchEnvironment, fleet: GatewayFleet) -> None:
        super().__init__(env, fleet)
        self.database_url = env.sandbox.new_database()
        self._key = new_encryption_key()
        self._metrics_port = free_port()
        self._api: Client | None = None
        self.base_url = ""
        """Of its API and its page, when statuses are asked for."""
        self._ids: dict[str, UUID] = seed(self.database_url, self._key, fleet) if fleet.names else {}

    def start(self) -> None:
        environment = self._environment | WORKER_ENVIRONMENT | {"METRICS_PORT": str(self._metrics_port)}
        self._run("worker", local(WORKER), environment)

    def serve_status(self) -> None:
        port = free_port()
        gunicorn, option, configuration, application = local(API)
        command = (gunicorn, option, str(PROJECT / configuration), application)
        self.env.start(f"api-{port}", command, self._environment | {"PORT": str(port)})
        self._api = Client(port)
        self.base_url = f"http://127.0.0.1:{port}"
        await_answer(self.env, self._api, "/api/health")

    def status(self, name: str) -> Seen:
        if self._api is None:
            raise StackError("serve_status comes first")
        status = self._api.get(f"/api/gateways/{self._ids[name]}/status")
        return Seen(status["state"] == "connected", status["connected_since"])

    def row_id(self, name: str) -> UUID:
        """The id that the API has given a gateway."""
        return self._ids[name]

    def count_connected(self) -> int:
        return self.ask(COUNT_CONNECTED)

    def messages_received(self) -> int:
        metrics = Client(self._metrics_port)
        try:
            text = metrics.read("/metrics").decode()
        finally:
            metrics.close()
        found = re.search(r"^millgate_messages_total (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def messages_written(self) -> int:
        """Return the same count from the database."""
        return self.ask(SUM_MESSAGES)

    def ask(self, question: LiteralString) -> int:
        """Query a number."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            [answer] = connection.execute(question).fetchone() or [0]
        return int(answer)

    @property
    def _environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database_url, "ENCRYPTION_KEY": self._key}


class Peer(Manager):
    """A peer: gateways from a JSON list, status from memory over HTTP."""

    def __init__(
        self, env: BenchEnvironment, fleet: GatewayFleet, name: str, program: tuple[str, ...]
    ) -> None:
        super().__init__(env, fleet)
        self._name = name
        self._program = program
        self._port = free_port()
        self._client = Client(self._port)
        self._list = env.directory / f"gateways-{self._port}.json"
        self._list.touch(mode=0o600)
        self._list.write_text(
            json.dumps(
                [
                    {"id": each, "url": fleet.url(each), "email": EMAIL, "password": fleet.password}
                    for each in fleet.names
                ]
            )
        )

    def start(self) -> None:
        self._run(self._name, (*self._program, str(self._list), str(self._port)), {})

    def serve_status(self) -> None:
        await_answer(self.env, self._client, "/summary")

    def status(self, name: str) -> Seen:
        status = self._client.get(f"/status/{name}")
        return Seen(status["state"] == "connected", status["connected_since"])

    def count_connected(self) -> int:
        return int(self._client.get("/summary")["states"].get("connected", 0))

    def messages_received(self) -> int:
        return int(self._client.get("/summary")["messages_received"])


Maker = Callable[[BenchEnvironment, GatewayFleet], Manager]


def contestants(env: BenchEnvironment) -> dict[str, Maker]:
    """Return those that can run on this machine, by name; log those that cannot."""
    found: dict[str, Maker] = {MILLGATE: Millgate}
    try:
        program = (tools.node(), str(PEERS / "node_worker" / "main.mjs"))
        tools.install_packages(PEERS / "node_worker")
        found[NODE] = lambda env, fleet: Peer(env, fleet, "node", program)
    except tools.ToolMissingError as error:
        env.say(f"Node is left out: {error}")
    command = local(("python", "-m", "bench.peers.asyncio_worker"))
    found[ASYNCIO] = lambda env, fleet: Peer(env, fleet, "asyncio", command)
    return found


def await_answer(env: BenchEnvironment, client: Client, path: str) -> None:
    """Wait until the path returns a success. Raises StackError."""
    if env.wait(lambda: client.answers(path), START_LIMIT_S) is None:
        raise StackError(f"no success from {path}")
