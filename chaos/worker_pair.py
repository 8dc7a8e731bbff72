"""Two workers on one test bed, one of which is to be lost."""

from collections.abc import Callable
from typing import NamedTuple

from chaos.testbed import ChaosTestBed, Status, urls_of
from chaos.worker_process import WorkerProcess
from devstack.errors import StackError
from simulator import Gateway, Site

GATEWAYS = 12
CALM_S = 5.0
CALM_LIMIT_S = 60.0

LEASE = """
SELECT id::text, extract(epoch FROM lease_expires_at - clock_timestamp())::float8 AS left_s
FROM workers WHERE pid = %s AND ended_at IS NULL
"""


class WorkerPair(NamedTuple):
    """What the victim holds at the moment is `lost`: at least one gateway."""

    site: Site
    victim: WorkerProcess
    victim_id: str
    successor: WorkerProcess
    successor_id: str
    lost: list[str]

    @property
    def lost_gateways(self) -> list[Gateway]:
        """The same, as the simulator knows them."""
        return [self.site.gateway(gateway_id) for gateway_id in self.lost]


def start_worker_pair(
    testbed: ChaosTestBed,
    *,
    victims_url: str | None = None,
    victims_clock_error_s: float = 0,
    successors_clock_error_s: float = 0,
) -> WorkerPair:
    """Both running, everything connected, and nothing changing hands any more. Raises StackError."""
    site = testbed.start_site(GATEWAYS)
    testbed.register(urls_of(site))
    victim = testbed.start_worker(database_url=victims_url, clock_error_s=victims_clock_error_s)
    testbed.await_connected(testbed.ids)
    successor = testbed.start_worker(clock_error_s=successors_clock_error_s)
    await_calm(testbed, site)
    lost = testbed.held_by(victim)
    if not lost:
        raise StackError("the first worker holds nothing")
    return WorkerPair(site, victim, id_of(testbed, victim), successor, id_of(testbed, successor), lost)


def await_calm(testbed: ChaosTestBed, site: Site, calm_s: float = CALM_S) -> None:
    """Waits until all gateways are connected and none logged in for a while. Raises StackError."""

    def is_calm() -> bool:
        logins = site.summary()["logins"]
        testbed.pause(calm_s)
        seen = site.summary()
        return seen["logins"] == logins and seen["open_sessions"] == len(site.gateways)

    if testbed.wait(is_calm, CALM_LIMIT_S) is None:
        raise StackError("the gateways do not come to rest")


def id_of(testbed: ChaosTestBed, worker: WorkerProcess) -> str:
    """The id of a live worker."""
    return str(testbed.rows(LEASE, worker.pid)[0].id)


def is_with(worker_id: str) -> Callable[[Status], bool]:
    """Asks a status whether this worker has the gateway connected."""

    def holds(status: Status) -> bool:
        return bool(status["state"] == "connected" and (status["worker"] or {}).get("id") == worker_id)

    return holds


def is_unknown(status: Status) -> bool:
    """Asks a status whether it says that nobody can say."""
    return bool(status["state"] == "unknown")
