"""All of Millgate under one supervisor: PostgreSQL, migrations, API and worker."""

import http.client
from collections.abc import Mapping

from devstack.commands import API, MIGRATE, WORKER, WORKER_ENVIRONMENT, local
from devstack.errors import StackError
from devstack.postgres.server import EmbeddedPostgres
from devstack.processes.supervisor import Supervisor
from devstack.run.environment import Address, check_address_is_free, child_environment, metrics_setting
from devstack.terminal import say

MIGRATE_LIMIT_S = 300.0
READY_LIMIT_S = 30.0
HEALTH_TIMEOUT_S = 2.0
WORKER_STOP_LIMIT_S = 6.0
API_STOP_LIMIT_S = 2.0
MOST_WORKERS = 16
READY = "/api/health/ready"


def start_millgate(
    supervisor: Supervisor, environment: Mapping[str, str], settings: Mapping[str, str], address: Address
) -> bool:
    """Start all processes and wait until the API is ready.

    Without waiting for a worker if the database is held; returns whether it is.
    `environment` is the children's, without the database's URL and the address; `settings` are for us.
    Raises StackError or StopAskedError; leaving the supervisor stops what was started.
    """
    check_address_is_free(address)
    log_path = supervisor.log_dir / "postgres.log"
    postgres = EmbeddedPostgres(supervisor.data_dir / "postgres", log_path=log_path)
    say("Starting PostgreSQL …")
    supervisor.start(postgres)
    seen = child_environment(environment, postgres.url(), address)
    say("Applying migrations …")
    supervisor.run_once(supervisor.child("migrate", local(MIGRATE), seen), MIGRATE_LIMIT_S)
    say("Starting API and worker …")
    supervisor.start(supervisor.child("api", local(API), seen, stop_limit_s=API_STOP_LIMIT_S))
    for position, name in enumerate(worker_names(settings)):
        own = {**seen, **WORKER_ENVIRONMENT, **metrics_setting(settings, position)}
        limits = {"stop_limit_s": WORKER_STOP_LIMIT_S, "stop_early": True}
        supervisor.start(supervisor.child(name, local(WORKER), own, **limits))
    held = is_held(postgres.url())
    path = "/api/health" if held else READY
    supervisor.wait_until(lambda: is_ok(address, path), READY_LIMIT_S, "API and worker to be ready")
    return held


def worker_names(settings: Mapping[str, str]) -> list[str]:
    """Return the names of WORKERS workers, one by default. Raises StackError."""
    count = settings.get("WORKERS") or "1"
    if not (count.isascii() and count.isdigit() and 1 <= int(count) <= MOST_WORKERS):
        raise StackError(f"WORKERS must be a whole number from 1 to {MOST_WORKERS}.")
    return ["worker"] if int(count) == 1 else [f"worker-{number}" for number in range(1, int(count) + 1)]


def is_ready(address: Address) -> bool:
    """Whether the API reports database, migrations and worker as ready."""
    return is_ok(address, READY)


def is_ok(address: Address, path: str) -> bool:
    """Whether the API answers a GET with 200."""
    return status_of(address, path) == http.HTTPStatus.OK


def is_held(database_url: str) -> bool:
    """Whether a migrated database is a copy that was not taken over. Raises StackError."""
    import psycopg  # noqa: PLC0415  (only needed here, and slow to load)

    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            return connection.execute("SELECT database_is_held()").fetchone() == (True,)
    except psycopg.Error as error:
        raise StackError(f"The database cannot be reached: {error}") from None


def asks_for_tokens(address: Address) -> bool:
    """Whether the API there requires a token."""
    return status_of(address, "/metrics") == http.HTTPStatus.UNAUTHORIZED


def status_of(address: Address, path: str) -> int | None:
    """Return the status of a GET without a token; None without an answer."""
    connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
