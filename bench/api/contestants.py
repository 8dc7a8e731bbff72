"""The contestants: how each is deployed, with equal connection pools, on the same database."""

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.environment import BenchEnvironment
from bench.tools import ToolMissingError, install_packages, node
from devstack.commands import API, local
from devstack.errors import StackError
from devstack.postgres.server import free_port
from devstack.processes.child import Child
from devstack.project import PROJECT

PEERS = PROJECT / "bench" / "peers"
START_LIMIT_S = 30.0
REQUEST_LIMIT_S = 10.0
PROCESSES = 2
CONNECTIONS = 16
"""The most connections to PostgreSQL that all processes of a contestant have: Millgate's default."""


@dataclass(frozen=True)
class Contestant:
    """A name, the command that serves the API on a port, and its environment beside the common settings."""

    name: str
    command: Callable[[int], tuple[str, ...]]
    settings: Mapping[str, str]
    prepare: Callable[[], object] = lambda: None
    """Raises ToolMissingError where it cannot run."""


@dataclass(frozen=True)
class Running:
    """A started contestant that answers requests."""

    name: str
    port: int
    pid: int
    log_path: Path


def _millgate(_port: int) -> tuple[str, ...]:
    gunicorn, option, _, application = local(API)
    return (gunicorn, option, str(PROJECT / "service" / "gunicorn_conf.py"), application)


def _fastify(_port: int) -> tuple[str, ...]:
    return (node(), str(PEERS / "fastify" / "src" / "server.js"))


def _fastapi(module: str) -> Callable[[int], tuple[str, ...]]:
    def command(port: int) -> tuple[str, ...]:
        where = ("--host", "127.0.0.1", "--port", str(port), "--workers", str(PROCESSES))
        server = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
        return (*local(("uvicorn",)), *where, *server, "--no-server-header", module)

    return command


def _install_fastify() -> None:
    install_packages(PEERS / "fastify")


ONE = {"API_PROCESSES": "1", "DB_POOL_MAX": str(CONNECTIONS), "NODE_ENV": "production"}
TWO = {**ONE, "API_PROCESSES": "2"}
A_PROCESS = {"DB_POOL_MAX": str(CONNECTIONS // PROCESSES)}

CONTESTANTS = (
    Contestant("millgate", _millgate, {}),
    Contestant("fastify-1", _fastify, ONE, _install_fastify),
    Contestant("fastify-2", _fastify, TWO, _install_fastify),
    Contestant("fastapi-sqlalchemy", _fastapi("bench.peers.fastapi.over_sqlalchemy:app"), A_PROCESS),
    Contestant("fastapi-asyncpg", _fastapi("bench.peers.fastapi.over_asyncpg:app"), A_PROCESS),
)


def start(env: BenchEnvironment, contestant: Contestant) -> Running:
    """Starts a contestant in the bench environment; it answers when this returns. Raises StackError."""
    contestant.prepare()
    port = free_port()
    child = env.start(
        contestant.name,
        contestant.command(port),
        {
            "DATABASE_URL": env.database_url,
            "ENCRYPTION_KEY": env.key,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            **contestant.settings,
        },
    )
    came_up = env.wait(lambda: child.exit_code() is not None or answers(port), START_LIMIT_S)
    if came_up is None or child.process is None or child.exit_code() is not None:
        raise StackError(f"{contestant.name} did not start: {last_words(child)}")
    return Running(contestant.name, port, child.process.pid, child.log_path)


def start_all(env: BenchEnvironment) -> tuple[list[Running], list[str]]:
    """Start all that can run here; return them, and a sentence for each that cannot. Raises StackError."""
    running, left_out = [], []
    for contestant in CONTESTANTS:
        try:
            running.append(start(env, contestant))
        except ToolMissingError as error:
            left_out.append(f"{contestant.name} was left out: {error}")
    return running, left_out


def answers(port: int) -> bool:
    """Whether something serves the API there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_LIMIT_S)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_words(child: Child) -> str:
    """Return the last lines of a program's output."""
    return child.log_path.read_text(errors="replace").strip()[-500:]
