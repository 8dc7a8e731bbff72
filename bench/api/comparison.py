"""Compares the speed of every endpoint of every contestant, in turns, round after round."""

from collections import defaultdict
from pathlib import Path

import psycopg

from bench.api.contestants import Running, start_all
from bench.api.endpoints import ENDPOINTS, Endpoint
from bench.api.equivalence import leave_out_different
from bench.api.figures import Sample, section
from bench.api.seed import seal_each, seed, settle
from bench.api.wrk import Load, Wrk
from bench.environment import BenchEnvironment
from bench.peers.fastapi.sealing import Sealer
from bench.processes import cpu_s, pss_bytes
from bench.results import Section, ratio
from bench.tools import wrk

GATEWAYS = 10_000
ROUNDS, QUICK_ROUNDS = 5, 2
ROUND_S, QUICK_ROUND_S = 3, 1
WARM_UP_S = 1
CREATED = "bench-"
"""The prefix of the gateway_id of every gateway that wrk creates."""


def compare(env: BenchEnvironment) -> Section:
    """Measures all contestants that answer alike. Raises StackError, StopAskedError."""
    wrk()
    connection, sealer = env.connect(), Sealer(env.key)
    env.say(f"seeding {GATEWAYS} gateways")
    seed(connection, sealer, 1, GATEWAYS)
    seal_each(connection, sealer)
    settle(connection)
    running, left_out = start_all(env)
    env.say(f"comparing the answers of {', '.join(one.name for one in running)}")
    contestants, different = leave_out_different(env, running, connection)
    for note in (*left_out, *different):
        env.say(note)
    tidy_up(connection)
    match = Match(env, connection, contestants)
    match.warm_up()
    rounds = QUICK_ROUNDS if env.is_quick else ROUNDS
    for number in range(rounds):
        env.say(f"round {number + 1} of {rounds}")
        match.play(number)
    return section(match.samples, match.memory_bytes, [*left_out, *different])


class Match:
    """Contestants that take turns. For the row's thread."""

    def __init__(
        self, env: BenchEnvironment, connection: psycopg.Connection, contestants: list[Running]
    ) -> None:
        self.samples: dict[tuple[str, str], list[Sample]] = {
            (endpoint.kind, one.name): [] for endpoint in ENDPOINTS for one in contestants
        }
        self.memory_bytes: dict[str, list[int]] = defaultdict(list)
        self._env = env
        self._connection = connection
        self._contestants = contestants
        self._round_s = QUICK_ROUND_S if env.is_quick else ROUND_S
        self._wrk = Wrk(env, write_gateways(connection, env.directory / "gateways"))
        self._loads = 0

    def warm_up(self) -> None:
        """Call each endpoint once, so that first-use compiling, caching and connecting is done."""
        for endpoint in ENDPOINTS:
            for contestant in self._contestants:
                self._put_load(endpoint, contestant, WARM_UP_S)
        tidy_up(self._connection)

    def play(self, number: int) -> None:
        """Play one round: each endpoint with every contestant; another contestant begins each time."""
        # Once a round, so that it does not fall into a contestant's turn.
        self._connection.execute("CHECKPOINT")
        first = number % len(self._contestants)
        order = self._contestants[first:] + self._contestants[:first]
        for endpoint in ENDPOINTS:
            for contestant in order:
                self.samples[endpoint.kind, contestant.name].append(self._measure(endpoint, contestant))
        for contestant in order:
            self.memory_bytes[contestant.name].append(pss_bytes(contestant.pid))

    def _measure(self, endpoint: Endpoint, contestant: Running) -> Sample:
        server_s, postgres_s = cpu_s(contestant.pid), cpu_s(self._env.postgres_pid)
        load = self._put_load(endpoint, contestant, self._round_s)
        server_s, postgres_s = cpu_s(contestant.pid) - server_s, cpu_s(self._env.postgres_pid) - postgres_s
        if endpoint.writes:
            tidy_up(self._connection)
        return Sample(
            requests_per_s=load.requests_per_s,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            server_us=ratio(server_s * 1e6, load.requests),
            postgres_us=ratio(postgres_s * 1e6, load.requests),
            failed=load.failed,
        )

    def _put_load(self, endpoint: Endpoint, contestant: Running, duration_s: int) -> Load:
        self._loads += 1
        mark = f"{CREATED}{self._loads}"
        return self._wrk.load(contestant.port, endpoint.kind, mark, duration_s)


def tidy_up(connection: psycopg.Connection) -> None:
    """Restore the tables' size and the cost of a read to what they were before the writes."""
    connection.execute("DELETE FROM gateways WHERE device_id LIKE %s", [f"{CREATED}%"])
    connection.execute("VACUUM (ANALYZE) gateways, gateway_counts, desired_state_changes")


def write_gateways(connection: psycopg.Connection, path: Path) -> Path:
    """Write the file from which wrk's script takes its gateways."""
    found = connection.execute("SELECT id, factory_id, device_id FROM gateways ORDER BY id").fetchall()
    path.write_text("".join(f"{row_id} {factory_id} {name}\n" for row_id, factory_id, name in found))
    return path
