"""Row: the load of 100,000 gateways over 20 workers on the PostgreSQL that they share."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from bench.environment import BenchEnvironment
from bench.processes import cpu_s
from bench.results import Section, at_most, number, table
from devstack.commands import local
from devstack.errors import StackError
from devstack.processes.child import Child
from devstack.run.environment import new_encryption_key

WORKERS, GATEWAYS, FACTORIES = 20, 100_000, 200
QUICK_WORKERS, QUICK_GATEWAYS = 2, 1000
SIMULATED_WORKER = ("python", "-m", "bench.scaling.simulated_worker")
REGISTER_LIMIT_S = 120.0
CONNECT_LIMIT_S = 400.0
SETTLE_S, QUICK_SETTLE_S = 8.0, 1.0
WINDOW_S, QUICK_WINDOW_S = 12.0, 2.0
FLAPS_PER_S = 50.0
CHANGES_PER_S = 20.0

SEED = """
INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password, desired_state)
SELECT f.id, 'AP-' || n, 'Gateway ' || n, 'ws://simulated.invalid', 'plant@example.com',
    decode(repeat('00', 45), 'hex'), 'disconnected'
FROM generate_series(1, %(gateways)s) AS n
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS rank FROM factories) AS f
    ON f.rank = n %% %(factories)s + 1
"""
WANT_ALL = "UPDATE gateways SET desired_state = 'connected', connect_requested_at = clock_timestamp()"
COUNT_WORKERS = "SELECT count(*) FROM workers WHERE ended_at IS NULL"
COUNT_CONNECTED = "SELECT count(*) FROM gateway_connections WHERE state = 'connected'"
COUNT_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'millgate-%'"
READ_WORK = """
SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted,
    (SELECT wal_bytes FROM pg_stat_wal)::bigint
FROM pg_stat_database WHERE datname = current_database()
"""
COUNT_SHARES = """
SELECT count(c.gateway_id) FROM workers AS w LEFT JOIN gateway_connections AS c ON w.id = c.worker_id
WHERE w.ended_at IS NULL GROUP BY w.id
"""
CONNECT_NEXT = """
UPDATE gateways SET connect_requested_at = clock_timestamp()
WHERE id = (SELECT id FROM gateways ORDER BY id OFFSET floor(random() * 1000) LIMIT 1)
"""
MEASURE_EVENTS = "SELECT count(*), pg_total_relation_size('gateway_events') FROM gateway_events"


@dataclass(frozen=True, slots=True)
class Work:
    """PostgreSQL's work, per second."""

    what: str
    transactions: float
    rows_written: float
    wal_kib: float
    cpu_percent: float


class Fleet:
    """Simulated workers on one database. For one thread."""

    def __init__(self, env: BenchEnvironment, workers: int, gateways: int) -> None:
        self._env = env
        self._gateways = gateways
        self._window_s = QUICK_WINDOW_S if env.is_quick else WINDOW_S
        self._sql = env.connect()
        self._sql.execute(
            "INSERT INTO factories (name) SELECT 'Mill ' || n FROM generate_series(1, %s) AS n", [FACTORIES]
        )
        self._sql.execute(SEED, {"gateways": gateways, "factories": FACTORIES})
        self._sql.execute("ANALYZE")
        self._environment = {
            "DATABASE_URL": env.database_url,
            "ENCRYPTION_KEY": new_encryption_key(),
            "SIMULATED_FLAPS_PER_S": str(FLAPS_PER_S / workers),
        }
        self.workers = [self._start(f"simulated-worker-{number}") for number in range(workers)]
        self.await_count(COUNT_WORKERS, workers, REGISTER_LIMIT_S)

    def _start(self, name: str) -> Child:
        return self._env.start(name, local(SIMULATED_WORKER), self._environment)

    def ask(self, question: str) -> list[int]:
        """Run a query and return the numbers of its row."""
        row = self._sql.execute(question.encode()).fetchone()
        return [int(value) for value in row or ()]

    def shares(self) -> list[int]:
        """Return how many gateways each worker holds."""
        return [int(row[0]) for row in self._sql.execute(COUNT_SHARES)]

    def await_count(self, question: str, count: int, limit_s: float) -> float:
        """Wait until the query returns that; return the seconds it took. Raises StackError."""
        began = monotonic()
        held_at = self._env.wait(lambda: self.ask(question) == [count], limit_s)
        if held_at is None:
            raise StackError(f"{self.ask(question)} instead of {count} after {limit_s:.0f} s: {question}")
        return held_at - began

    def want_all(self) -> None:
        """Set the desired state of all gateways to connected in one statement."""
        self._sql.execute(WANT_ALL)

    def begin_to_flap(self) -> None:
        """Make the workers lose FLAPS_PER_S sessions per second in total from now on."""
        for worker in self.workers:
            os.kill(pid_of(worker), signal.SIGUSR1)

    def lose_a_worker(self) -> float:
        """Kill one worker; return the seconds until the others hold all of its gateways."""
        began = monotonic()
        os.kill(pid_of(self.workers.pop()), signal.SIGKILL)
        self.await_count(COUNT_WORKERS, len(self.workers), CONNECT_LIMIT_S)
        self.await_count(COUNT_CONNECTED, sum(self.shares()), CONNECT_LIMIT_S)
        self.await_count(COUNT_CONNECTED, self._gateways, CONNECT_LIMIT_S)
        return monotonic() - began

    def watch(self, what: str, meanwhile: Callable[[], object] = lambda: None) -> Work:
        """Return PostgreSQL's work in a window; `meanwhile` is called CHANGES_PER_S times a second."""
        began, before, cpu_before_s = monotonic(), self.ask(READ_WORK), cpu_s(self._env.postgres_pid)
        while (took_s := monotonic() - began) < self._window_s:
            meanwhile()
            self._env.pause(1 / CHANGES_PER_S)
        transactions, rows, wal = (
            (now - then) / took_s for now, then in zip(self.ask(READ_WORK), before, strict=True)
        )
        cpu = (cpu_s(self._env.postgres_pid) - cpu_before_s) / took_s
        return Work(what, transactions, rows, wal / 1024, cpu * 100)

    def connect_next(self) -> None:
        """Set the desired state of the next gateway to connected."""
        self._sql.execute(CONNECT_NEXT)


def measure(env: BenchEnvironment) -> Section:
    """Measures the fleet idle, with lost sessions, with desired states changed, and without a worker."""
    workers, gateways = (QUICK_WORKERS, QUICK_GATEWAYS) if env.is_quick else (WORKERS, GATEWAYS)
    settle_s = QUICK_SETTLE_S if env.is_quick else SETTLE_S
    fleet = Fleet(env, workers, gateways)
    env.say(f"{workers} workers registered")
    works = [fleet.watch("no gateway is wanted")]
    fleet.want_all()
    connected_s = fleet.await_count(COUNT_CONNECTED, gateways, CONNECT_LIMIT_S)
    env.say(f"{gateways:,} gateways held and shown connected after {connected_s:.1f} s")
    shares = fleet.shares()
    env.pause(settle_s)
    works.append(fleet.watch("all connected, nothing happens"))
    works.append(fleet.watch(f"{CHANGES_PER_S:g} gateways a second are asked to connect", fleet.connect_next))
    [sessions] = fleet.ask(COUNT_SESSIONS)
    fleet.begin_to_flap()
    env.pause(settle_s)
    before = fleet.ask(MEASURE_EVENTS)
    works.append(fleet.watch(f"{FLAPS_PER_S:g} sessions a second are lost and come back"))
    events, event_bytes = (now - then for now, then in zip(fleet.ask(MEASURE_EVENTS), before, strict=True))
    taken_over_s = fleet.lose_a_worker()
    facts = (
        f"{workers} workers, {gateways:,} gateways, one PostgreSQL on the same machine. All were held and "
        f"shown connected {connected_s:.1f} s after they were wanted; shares from {min(shares):,} to "
        f"{max(shares):,}. {sessions / workers:.1f} database sessions a worker. A transition in the history "
        f"takes {event_bytes / max(1, events):.0f} bytes, indexes included. A worker was killed: others held "
        f"all of its gateways after {taken_over_s:.1f} s."
    )
    uneven = (max(shares) - min(shares)) / (gateways / workers)
    return Section(
        f"Scaling: {gateways:,} gateways over {workers} workers",
        work_table(works) + "\n\n" + facts,
        goals=(at_most("difference of shares against their mean, large fleet", uneven, 0.1),),
    )


def work_table(works: list[Work]) -> str:
    """Return the table of PostgreSQL's work."""
    header = ("what happens", "transactions/s", "rows written/s", "WAL, KiB/s", "PostgreSQL, % of a core")
    rows = [
        (w.what, number(w.transactions), number(w.rows_written), number(w.wal_kib), number(w.cpu_percent))
        for w in works
    ]
    return table(header, rows)


def pid_of(worker: Child) -> int:
    """Return its process id. Raises StackError."""
    if worker.process is None or worker.exit_code() is not None:
        raise StackError(f"{worker.name} does not run")
    return worker.process.pid
