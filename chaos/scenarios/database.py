"""PostgreSQL and the API: stopped, killed, restarted, failed over, and processes of the API killed."""

import http.client
import threading
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from chaos.findings import Findings
from chaos.testbed import ChaosTestBed, since
from devstack.harness.sandbox import Sandbox
from devstack.postgres.server import EmbeddedPostgres
from simulator import Gateway, Site

ANSWER_LIMIT_S = 5.0
RIGHT_LIMIT_S = 2.0
GIVE_UP_S = 30.0
LONG_OUTAGE_S = 60.0
SHORT_OUTAGE_S = 3.0
END_ALL_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Prober:
    """Asks the API all the time, from a thread of its own, and keeps how long answers took."""

    def __init__(self, testbed: ChaosTestBed) -> None:
        self._plant = testbed
        self._path = f"/api/gateways/{next(iter(testbed.ids.values()))}/status"
        self._stopping = threading.Event()
        self.longest_s = 0.0
        self.answers = 0
        self.unanswered = 0
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()
        self._thread.join(GIVE_UP_S)

    def _run(self) -> None:
        while not self._stopping.wait(0.2):
            for method, path in (
                ("GET", self._path),
                ("GET", "/api/health/ready"),
                ("POST", "/api/factories"),
            ):
                body = {"name": "Written meanwhile"} if method == "POST" else None
                try:
                    self.longest_s = max(self.longest_s, self._plant.api.call(method, path, body).took_s)
                    self.answers += 1
                except (OSError, http.client.HTTPException):
                    self.unanswered += 1


def database_stop(sandbox: Sandbox, findings: Findings) -> None:
    """Stopped for a minute."""

    def outage(testbed: ChaosTestBed, server: EmbeddedPostgres) -> float:
        server.stop()
        testbed.pause(LONG_OUTAGE_S)
        sandbox.start_server(server)
        return monotonic()

    _outage(sandbox, findings, "database-stop", outage)


def database_kill(sandbox: Sandbox, findings: Findings) -> None:
    """kill -9 of the postmaster."""

    def outage(testbed: ChaosTestBed, server: EmbeddedPostgres) -> float:
        if server.process is not None:
            server.process.kill()
            server.process.wait(GIVE_UP_S)
        testbed.pause(SHORT_OUTAGE_S)
        sandbox.start_server(server)
        return monotonic()

    _outage(sandbox, findings, "database-kill", outage)


def database_restart(sandbox: Sandbox, findings: Findings) -> None:
    """An ordinary restart."""

    def outage(_plant: ChaosTestBed, server: EmbeddedPostgres) -> float:
        server.stop()
        sandbox.start_server(server)
        return monotonic()

    _outage(sandbox, findings, "database-restart", outage)


def database_failover(sandbox: Sandbox, findings: Findings) -> None:
    """All sessions are ended at once, as a failover behind one address does."""

    def outage(testbed: ChaosTestBed, _server: EmbeddedPostgres) -> float:
        testbed.rows(END_ALL_SESSIONS)
        return monotonic()

    _outage(sandbox, findings, "database-failover", outage)


ON_THE_WAY = {"retrying", "connecting", "authenticating"}


class Actors(NamedTuple):
    """The gateways of an outage: some stay, one is cut and comes back, one is cut and stays away."""

    steady: list[Gateway]
    returning: Gateway
    lost: Gateway


def _outage(
    sandbox: Sandbox,
    findings: Findings,
    name: str,
    outage: Callable[[ChaosTestBed, EmbeddedPostgres], float],
) -> None:
    with ChaosTestBed(sandbox, name) as testbed:
        server = testbed.start_server()
        site, _ = testbed.start(8)
        actors = Actors(site.gateways[2:], site.gateways[0], site.gateways[1])
        prober = Prober(testbed)
        testbed.say("the outage begins")
        cutter = threading.Timer(0.5, _cut, [actors])
        cutter.start()
        try:
            returned = outage(testbed, server)
        finally:
            cutter.join(GIVE_UP_S)
        testbed.say("the outage is over")
        right = testbed.wait(lambda: _is_right(testbed, actors), GIVE_UP_S)
        findings.within("states right after", since(returned, right), RIGHT_LIMIT_S)
        testbed.pause(2)
        prober.stop()
        lost = sum(gateway.logins != 1 or gateway.open_sessions != 1 for gateway in actors.steady)
        findings.holds(f"{lost} of {len(actors.steady)} sessions lost", lost == 0)
        _judge_history(testbed, site, actors, findings)
        findings.within(f"slowest of {prober.answers} answers", prober.longest_s, ANSWER_LIMIT_S)
        findings.holds(f"{prober.unanswered} without answer", prober.unanswered == 0)


def _cut(actors: Actors) -> None:
    actors.lost.stop_listening()
    actors.lost.drop("close", 1011)
    actors.returning.drop("rst")


def _is_right(testbed: ChaosTestBed, actors: Actors) -> bool:
    """Whether the API says of each gateway what the simulator knows of it."""
    returning, lost = (testbed.status(gateway.gateway_id)["state"] for gateway in actors[1:])
    return (
        all(testbed.status(gateway.gateway_id)["state"] == "connected" for gateway in actors.steady)
        and lost in ON_THE_WAY
        # It comes back after its own back-off, which is none of the database's business.
        and (returning in ON_THE_WAY or (returning == "connected" and actors.returning.open_sessions == 1))
    )


def _judge_history(testbed: ChaosTestBed, site: Site, actors: Actors, findings: Findings) -> None:
    counted = testbed.rows(
        """
        SELECT g.device_id, e.reason_code AS code FROM gateway_events AS e
        JOIN gateways AS g ON e.gateway_id = g.id
        WHERE e.from_state = 'connected' AND e.to_state = 'retrying'
        """
    )
    told = {(row.device_id, row.code) for row in counted}
    expected = {
        (actors.lost.gateway_id, "closed_by_gateway"),
        (actors.returning.gateway_id, "connection_lost"),
    }
    holes = testbed.broken_histories()
    findings.holds(
        f"{len(expected - told)} of {len(expected)} ends missing, {len(holes)} holes in the history",
        expected <= told and not holes,
    )
    most = site.summary()["max_open_sessions"]
    findings.holds(f"at most {most} session a gateway", most == 1)
