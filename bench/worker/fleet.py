"""Row: a fleet held by several workers, and the database's load from idle gateways."""

from dataclasses import dataclass
from time import monotonic

from bench.environment import BenchEnvironment
from bench.processes import cpu_s, open_files, pss_bytes
from bench.results import Section, at_most, number, table
from bench.worker.gateway_fleet import GatewayFleet
from bench.worker.managers import COUNT_CONNECTED, START_LIMIT_S
from bench.worker.seed import seed
from devstack.commands import WORKER, WORKER_ENVIRONMENT, local
from devstack.errors import StackError
from devstack.processes.child import Child
from devstack.run.environment import new_encryption_key

WORKERS = 4
COUNTS, QUICK_COUNTS = (0, 1000, 10_000), (0, 1000)
CONNECT_LIMIT_S = 120.0
SETTLE_S, QUICK_SETTLE_S = 10.0, 3.0
# One ping interval: each gateway is pinged, and "last seen" written, once.
WINDOW_S, QUICK_WINDOW_S = 15.0, 8.0
UNEVEN_LIMIT = 0.1

WANT = """
UPDATE gateways SET desired_state = 'connected', connect_requested_at = clock_timestamp()
WHERE desired_state = 'disconnected'
    AND id IN (SELECT id FROM gateways WHERE desired_state = 'disconnected' ORDER BY id LIMIT %s)
"""
COUNT_LIVE_WORKERS = "SELECT count(*) FROM workers WHERE ended_at IS NULL"
COUNT_SHARES = """
SELECT count(c.gateway_id) FROM workers AS w LEFT JOIN gateway_connections AS c ON w.id = c.worker_id
WHERE w.ended_at IS NULL GROUP BY w.id ORDER BY w.id
"""
READ_WORK = """
SELECT xact_commit + xact_rollback, tup_returned + tup_fetched, tup_inserted + tup_updated + tup_deleted
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class Work:
    """PostgreSQL's work for an idle fleet, per second."""

    gateways: int
    transactions: float
    rows_read: float
    rows_written: float
    database_cpu_percent: float
    workers_cpu_percent: float


class Fleet:
    """Workers with one database and one fleet of gateways. For one thread."""

    def __init__(self, env: BenchEnvironment, gateways: int) -> None:
        self._env = env
        self.fleet = GatewayFleet(env, gateways)
        key = new_encryption_key()
        seed(env.database_url, key, self.fleet, desired_state="disconnected")
        self._sql = env.connect()
        environment = {"DATABASE_URL": env.database_url, "ENCRYPTION_KEY": key, **WORKER_ENVIRONMENT}
        self._workers = [env.start(f"worker-{n}", local(WORKER), environment) for n in range(WORKERS)]
        if env.wait(lambda: self.ask(COUNT_LIVE_WORKERS) == WORKERS, START_LIMIT_S) is None:
            raise StackError("not all workers registered")

    def ask(self, question: str) -> int:
        """Query a number."""
        return int(self.rows(question)[0][0])

    def rows(self, question: str) -> list[tuple[int, ...]]:
        """Query rows of numbers."""
        return self._sql.execute(question.encode()).fetchall()

    def grow(self, count: int) -> float:
        """Grow to `count` connected gateways; return the seconds until they are shown so."""
        began = monotonic()
        self._sql.execute(WANT, [count - self.ask(COUNT_CONNECTED)])
        self.fleet.await_subscribed(count, CONNECT_LIMIT_S)
        at = self._env.wait(lambda: self.ask(COUNT_CONNECTED) == count, CONNECT_LIMIT_S)
        if at is None:
            raise StackError("not all gateways were shown connected")
        # As autovacuum would within a minute; until then plans are made for the smaller fleet.
        self._sql.execute("ANALYZE")
        return at - began

    def watch(self, count: int) -> Work:
        """Return the work in a window in which nothing happens."""
        window_s = QUICK_WINDOW_S if self._env.is_quick else WINDOW_S
        before, database_s, workers_s = self.rows(READ_WORK)[0], self._database_cpu_s(), self._workers_cpu_s()
        self._env.pause(window_s)
        after = self.rows(READ_WORK)[0]
        transactions, read, written = (
            (now - then) / window_s for now, then in zip(after, before, strict=True)
        )
        return Work(
            count,
            transactions,
            read,
            written,
            (self._database_cpu_s() - database_s) / window_s * 100,
            (self._workers_cpu_s() - workers_s) / window_s * 100,
        )

    def shares(self) -> list[int]:
        """Return how many gateways each worker holds."""
        return [row[0] for row in self.rows(COUNT_SHARES)]

    def memory_bytes(self) -> int:
        """Return the PSS of all workers."""
        return sum(pss_bytes(_pid(worker)) for worker in self._workers)

    def open_files(self) -> int:
        """Count the file descriptors of all workers."""
        return sum(open_files(_pid(worker)) for worker in self._workers)

    def close(self) -> None:
        """Kill the workers."""
        for worker in self._workers:
            worker.stop(0)

    def _workers_cpu_s(self) -> float:
        return sum(cpu_s(_pid(worker)) for worker in self._workers)

    def _database_cpu_s(self) -> float:
        return cpu_s(self._env.postgres_pid)


def measure(env: BenchEnvironment) -> Section:
    """Measures the fleet idle after each step of its growth."""
    counts = QUICK_COUNTS if env.is_quick else COUNTS
    fleet = Fleet(env, counts[-1])
    works: list[Work] = []
    took_s, empty_bytes = 0.0, 0
    for count in counts:
        if count:
            took_s = fleet.grow(count)
            env.say(f"{count:,} gateways connected after {took_s:.1f} s")
        env.pause(QUICK_SETTLE_S if env.is_quick else SETTLE_S)
        works.append(fleet.watch(count))
        if not count:
            empty_bytes = fleet.memory_bytes()
    shares, total = fleet.shares(), counts[-1]
    kib = (fleet.memory_bytes() - empty_bytes) / total / 2**10
    facts = (
        f"{WORKERS} workers hold {total:,} gateways: {', '.join(f'{share:,}' for share in shares)}; "
        f"the last {total - counts[-2]:,} were shown connected {took_s:.1f} s after they were wanted; "
        f"{number(kib)} KiB (PSS) and {fleet.open_files() / total:.2f} file descriptors a gateway."
    )
    fleet.close()
    even = (max(shares) - min(shares)) / (total / WORKERS)
    return Section(
        f"Worker: a fleet of {total:,}",
        work_table(works),
        facts,
        (
            at_most("transactions a second, most against least gateways", _growth(works), 1.2),
            at_most("difference of shares against their mean", even, UNEVEN_LIMIT),
        ),
    )


def work_table(works: list[Work]) -> str:
    """Return the table of an idle fleet's cost by its size."""
    header = (
        "idle gateways",
        "transactions/s",
        "rows read/s",
        "rows written/s",
        "PostgreSQL, % of a core",
        "workers, % of a core",
    )
    rows = [
        (
            f"{work.gateways:,}",
            number(work.transactions),
            number(work.rows_read),
            number(work.rows_written),
            number(work.database_cpu_percent),
            number(work.workers_cpu_percent),
        )
        for work in works
    ]
    return table(header, rows)


def _growth(works: list[Work]) -> float:
    return works[-1].transactions / works[0].transactions


def _pid(worker: Child) -> int:
    if worker.process is None or worker.exit_code() is not None:
        raise StackError(f"{worker.name} does not run")
    return worker.process.pid
