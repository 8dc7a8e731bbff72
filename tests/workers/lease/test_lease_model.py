"""A model of the lease and take-overs: the real SQL and arithmetic on a simulated clock.

Everything that takes time is split into steps, so that anything may happen in between: a statement is sent,
reaches the server, and is answered; a list of gateways is read, and acted on. Workers are frozen and woken,
cut off, killed and stopped; the server is stopped and started, cannot write, and ends sessions. Each worker's
clock runs at its own rate. The invariant: never two workers with a session to the same gateway.
"""

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.database.engine.pool import ConnectionExecutor
from service.database.observed.active_gateways import ActiveGatewayRepository
from service.database.observed.connections import ConnectionRepository
from service.database.observed.reports import ConnectionReport
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from tests.support.testbed import WorkerTestBed
from workers.gateway_manager.lease.expiry import LeaseExpiry

MODEL = (Path(__file__).parent / "lease_model.sql").read_text()
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DURATION_S, MARGIN_S = 8.0, 1.0
# The rest of the margin covers clocks that run 1 % fast or slow.
CLOSING_S = MARGIN_S / 2
RATES = (1.0, 1.01, 0.99)
GATEWAYS = 3
LEAST_STORIES = 400


class Server:
    """PostgreSQL with a clock set by the test. Everything runs on one connection, step by step."""

    def __init__(self, connection: psycopg.Connection, gateways: list[UUID]) -> None:
        self._connection = connection
        self.gateways = gateways
        self.now = 0.0
        self.is_up = True
        self.can_write = True
        self._next_pid = 1
        self._sessions: set[int] = set()
        connection.execute("DELETE FROM gateway_connections")
        connection.execute("DELETE FROM workers")
        connection.execute("DELETE FROM model.sessions")
        # It has been up for a long time.
        connection.execute("UPDATE model.server SET started_at = %s", [START - dt.timedelta(days=1)])
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self._connection.execute("UPDATE model.server SET now = %s", [self._time])

    def start(self) -> None:
        """Start it again, without sessions."""
        self.is_up = True
        self._connection.execute("UPDATE model.server SET started_at = now")

    def stop(self) -> None:
        """Stop it and end all sessions."""
        self.is_up = False
        self._sessions.clear()
        self._connection.execute("DELETE FROM model.sessions")

    def open_session(self) -> int:
        """Open a session; return its process id."""
        pid, self._next_pid = self._next_pid, self._next_pid + 1
        self._connection.execute("INSERT INTO model.sessions VALUES (%s, %s, %s)", [pid, *[self._time] * 2])
        self._sessions.add(pid)
        return pid

    def end_session(self, pid: int) -> None:
        """End a session, as its client's end or an administrator does."""
        self._sessions.discard(pid)
        self._connection.execute("DELETE FROM model.sessions WHERE pid = %s", [pid])

    def has_session(self, pid: int) -> bool:
        """Whether the session exists."""
        return pid in self._sessions

    def hear(self, pid: int) -> ConnectionExecutor:
        """Record that a statement arrived on a session, successful or not."""
        note = """
            WITH heard AS (UPDATE model.sessions SET state_change = %s WHERE pid = %s RETURNING pid)
            UPDATE model.server SET session_pid = heard.pid FROM heard
        """
        self._connection.execute(note, [self._time, pid])
        return ConnectionExecutor(self._connection)

    @property
    def executor(self) -> ConnectionExecutor:
        """Return an executor for statements on other sessions, which are not recorded."""
        return ConnectionExecutor(self._connection)

    @property
    def _time(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.now)


@dataclass
class Renewal:
    """A statement in transit, and its result."""

    sent_at: float
    session: int
    is_executed: bool = False
    renewed: bool | None = None
    """None: rejected by a server that cannot write."""
    registered: WorkerIdentity | None = None


@dataclass
class Worker:
    """One process: its knowledge and its open sessions."""

    rate: float
    offset: float
    expiry: LeaseExpiry = field(default_factory=lambda: LeaseExpiry(DURATION_S, MARGIN_S))
    identity: WorkerIdentity | None = None
    session: int | None = None
    is_standing: bool = False
    renewal: Renewal | None = None
    is_frozen: bool = False
    is_cut_off: bool = False
    read: tuple[WorkerIdentity, list[UUID]] | None = None
    asked_refused_at: float | None = None
    sockets: set[UUID] = field(default_factory=set)
    unreleased: set[UUID] = field(default_factory=set)

    def clock(self, now: float) -> float:
        """Return its own monotonic time."""
        return now * self.rate + self.offset

    def die(self) -> None:
        """Replace the dead process by a new one."""
        self.__init__(self.rate, self.offset, is_cut_off=self.is_cut_off)  # type: ignore[misc]

    def lose(self) -> None:
        """As `Lease._lose`."""
        self.expiry.lost()
        self.sockets.clear()
        self.unreleased.clear()
        self.identity = self.renewal = self.read = self.asked_refused_at = None
        self.is_standing = False


class Trouble(Enum):
    """A condition of the server while time passes."""

    NONE = auto()
    SERVER_IS_DOWN = auto()
    DISK_IS_FULL = auto()
    DISK_IS_FULL_AND_SESSIONS_END = auto()


class Fault(Enum):
    """A fault of a worker or of the server."""

    KILLED = auto()
    FROZEN_OR_AWAKE = auto()
    CUT_OFF_OR_BACK = auto()
    SESSION_ENDED = auto()
    DISK_FULL_OR_NOT = auto()
    SERVER_STOPPED_OR_STARTED = auto()


workers = st.integers(0, len(RATES) - 1)
delays = st.sampled_from([0.0, 0.0, 0.3, 3.0])


class LeaseModel(RuleBasedStateMachine):
    """See the module. `server` is set by the test."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.workers = [Worker(rate, offset=1000.0 * number) for number, rate in enumerate(RATES)]

    # Steps without faults.

    @initialize()
    def all_begin(self) -> None:
        for number in range(len(self.workers)):
            self.worker_renews(number)
        self.worker_takes_what_is_free(0)

    @rule(number=workers)
    def worker_renews(self, number: int) -> None:
        self.workers[number].renewal = None
        for step in (
            self.worker_is_refused,
            self.worker_counts_the_refusal,
            self.worker_sends_a_renewal,
            self.renewal_reaches_the_server,
            self.renewal_is_answered,
        ):
            step(number=number)

    @rule(number=workers)
    def worker_takes_what_is_free(self, number: int) -> None:
        self.worker_reaps_and_claims(number, GATEWAYS)
        self.worker_reads_what_it_holds(number)
        self.worker_connects(number)

    @rule(number=workers, there_s=delays, back_s=delays)
    def worker_renews_slowly(self, number: int, there_s: float, back_s: float) -> None:
        worker = self.workers[number]
        worker.renewal = None
        self.worker_is_refused(number)
        self.worker_sends_a_renewal(number)
        self.time_passes(there_s)
        self.renewal_reaches_the_server(number)
        self.time_passes(back_s)
        self.renewal_is_answered(number)

    @rule(
        ticks=st.integers(2, 6),
        seconds=st.sampled_from([1.4, 1.7, 2.0]),
        working=st.sets(workers, min_size=1),
        taking=workers,
        trouble=st.sampled_from(Trouble),
    )
    def a_while_passes(
        self, ticks: int, seconds: float, working: set[int], taking: int, trouble: Trouble
    ) -> None:
        """Some renew meanwhile, others are silent; in the end one is heard first and claims."""
        self._begin(trouble)
        for _ in range(ticks):
            self.time_passes(seconds)
            for number in sorted(working):
                self.worker_renews(number)
        self._end_trouble(trouble)
        self.worker_renews(taking)
        self.worker_takes_what_is_free(taking)

    def _begin(self, trouble: Trouble) -> None:
        if trouble is Trouble.SERVER_IS_DOWN and self.server.is_up:
            self.server.stop()
        elif trouble in (Trouble.DISK_IS_FULL, Trouble.DISK_IS_FULL_AND_SESSIONS_END):
            self.server.can_write = False

    def _end_trouble(self, trouble: Trouble) -> None:
        if trouble is Trouble.SERVER_IS_DOWN and not self.server.is_up:
            self.server.start()
        self.server.can_write = True
        if trouble is Trouble.DISK_IS_FULL_AND_SESSIONS_END:
            for worker in self.workers:
                self._end_session(worker)

    # Time, and events that it triggers.

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.4, 1.0, 2.0, 3.5]))
    def time_passes(self, seconds: float) -> None:
        self.server.advance(seconds)
        for worker in self.workers:
            now = worker.clock(self.server.now)
            # The latest time at which its sockets are closed: by itself, or by the watchdog if it is frozen.
            if worker.identity is not None and now >= worker.expiry.until + CLOSING_S:
                if worker.is_frozen:
                    self._end(worker)
                else:
                    self._lose(worker)

    # The renewal, in three steps.

    @rule(number=workers)
    def worker_sends_a_renewal(self, number: int) -> None:
        worker = self.workers[number]
        if worker.is_frozen or worker.renewal is not None:
            return
        if worker.session is None:
            if not self._reaches(worker):
                return
            worker.session = self.server.open_session()
        now = worker.clock(self.server.now)
        if worker.identity is not None and not worker.expiry.is_valid(now):
            self._lose(worker)
        elif worker.session is not None:
            worker.renewal = Renewal(now, worker.session)

    @rule(number=workers)
    def renewal_reaches_the_server(self, number: int) -> None:
        worker = self.workers[number]
        renewal = worker.renewal
        if renewal is None or renewal.is_executed or not self._reaches(worker):
            return
        if not self.server.has_session(renewal.session):
            return
        renewal.is_executed = True
        repository = WorkerRepository(self.server.hear(renewal.session))
        if not self.server.can_write:
            return
        if worker.identity is None:
            renewal.registered = repository.register(f"host-{number}", number, "model", DURATION_S)
        else:
            renewal.renewed = repository.renew(worker.identity, 0)

    @rule(number=workers)
    def renewal_is_answered(self, number: int) -> None:
        worker = self.workers[number]
        renewal = worker.renewal
        if renewal is None or not renewal.is_executed or worker.is_frozen or worker.is_cut_off:
            return
        if worker.session != renewal.session or not self.server.has_session(renewal.session):
            return
        worker.renewal = None
        is_held = worker.expiry.is_valid(worker.clock(self.server.now))
        if renewal.registered is not None:
            worker.identity = renewal.registered
            worker.expiry.renewed(renewal.sent_at)
            worker.is_standing = True
        elif renewal.renewed is None:
            if worker.identity is not None and is_held and worker.is_standing:
                worker.expiry.answered(renewal.sent_at)
        elif renewal.renewed and is_held:
            worker.expiry.renewed(renewal.sent_at)
            worker.is_standing = True
        else:
            self._lose(worker)

    # Refused connections.

    @rule(number=workers)
    def worker_is_refused(self, number: int) -> None:
        worker = self.workers[number]
        if not (self.server.is_up or worker.is_frozen or worker.is_cut_off):
            worker.asked_refused_at = worker.clock(self.server.now)

    @rule(number=workers)
    def worker_counts_the_refusal(self, number: int) -> None:
        worker = self.workers[number]
        if worker.asked_refused_at is None or worker.is_frozen:
            return
        asked_at, worker.asked_refused_at = worker.asked_refused_at, None
        worker.session, worker.renewal, worker.is_standing = None, None, False
        worker.expiry.session_ended()
        if worker.identity is not None and worker.expiry.is_valid(worker.clock(self.server.now)):
            worker.expiry.refused(asked_at)

    # Claims, sessions, releases.

    @rule(number=workers, limit=st.integers(1, GATEWAYS))
    def worker_reaps_and_claims(self, number: int, limit: int) -> None:
        worker = self.workers[number]
        if self._may_write(worker) and worker.identity is not None:
            WorkerRepository(self.server.executor).reap()
            ConnectionRepository(self.server.executor, worker.identity).claim(limit)

    @rule(number=workers)
    def worker_reads_what_it_holds(self, number: int) -> None:
        worker = self.workers[number]
        if worker.identity is not None and not worker.is_frozen and self._reaches(worker):
            active = ActiveGatewayRepository(self.server.executor).find_active(worker.identity.id)
            worker.read = worker.identity, [gateway.id for gateway in active]

    @rule(number=workers)
    def worker_connects(self, number: int) -> None:
        worker = self.workers[number]
        if worker.read is None or not self._lease_valid(worker):
            return
        identity, gateways = worker.read
        worker.read = None
        if identity == worker.identity:
            worker.sockets.update(set(gateways) - worker.unreleased)

    @rule(number=workers)
    def worker_disconnects(self, number: int) -> None:
        worker = self.workers[number]
        if worker.sockets and not worker.is_frozen:
            # An earlier read may still name it; the registry ignores it until the release is written.
            worker.unreleased.add(worker.sockets.pop())

    @rule(number=workers)
    def worker_releases(self, number: int) -> None:
        worker = self.workers[number]
        if not (worker.unreleased and worker.identity is not None and self._may_write(worker)):
            return
        gateway_id = min(worker.unreleased)
        repository = ConnectionRepository(self.server.executor, worker.identity)
        repository.report([ConnectionReport(gateway_id=gateway_id, is_over=True, state="disconnected")])
        worker.unreleased.remove(gateway_id)
        # Like the manager, it does not act on a list read before the release.
        worker.read = None

    @rule(number=workers)
    def worker_stops(self, number: int) -> None:
        worker = self.workers[number]
        if worker.identity is not None and self._may_write(worker):
            worker.sockets.clear()
            WorkerRepository(self.server.executor).end(worker.identity)
            self._end(worker)

    # Faults. One rule for all of them, so that most steps are ordinary work.

    @rule(number=workers, fault=st.sampled_from(Fault))
    def something_goes_wrong(self, number: int, fault: Fault) -> None:
        worker = self.workers[number]
        if fault is Fault.KILLED:
            self._end(worker)
        elif fault is Fault.FROZEN_OR_AWAKE:
            worker.is_frozen = not worker.is_frozen
        elif fault is Fault.CUT_OFF_OR_BACK:
            worker.is_cut_off = not worker.is_cut_off
        elif fault is Fault.SESSION_ENDED:
            self._end_session(worker)
        elif fault is Fault.DISK_FULL_OR_NOT:
            self.server.can_write = not self.server.can_write
        elif self.server.is_up:
            self.server.stop()
        else:
            self.server.start()

    def _end_session(self, worker: Worker) -> None:
        # A worker that is cut off or frozen does not notice it: see docs/reliability.md.
        if worker.session is not None and self.server.is_up and not (worker.is_cut_off or worker.is_frozen):
            self.server.end_session(worker.session)
            worker.session, worker.renewal, worker.is_standing = None, None, False
            worker.expiry.session_ended()
            # Extensions that relied on being the only worker heard end immediately.
            if worker.identity is not None and not self._lease_valid(worker):
                self._lose(worker)

    @invariant()
    def no_gateway_has_two_sessions(self) -> None:
        believed = [gateway_id for worker in self.workers for gateway_id in worker.sockets]
        assert len(believed) == len(set(believed)), "two sessions to one gateway"

    def teardown(self) -> None:
        """After all faults, one worker takes over all gateways within the promised time."""
        self.server.can_write = True
        if not self.server.is_up:
            self.server.start()
        for worker in self.workers[1:]:
            self._end(worker)
        worker = self.workers[0]
        worker.is_frozen = worker.is_cut_off = False
        for _ in range(6):
            self.time_passes(2.0)
            if worker.session is not None and not self.server.has_session(worker.session):
                worker.session, worker.is_standing = None, False
                worker.expiry.session_ended()
            self.worker_renews(0)
            self.worker_takes_what_is_free(0)
        assert worker.sockets | worker.unreleased == set(self.server.gateways)

    def _reaches(self, worker: Worker) -> bool:
        return self.server.is_up and not worker.is_cut_off

    def _lease_valid(self, worker: Worker) -> bool:
        return not worker.is_frozen and worker.expiry.is_valid(worker.clock(self.server.now))

    def _may_write(self, worker: Worker) -> bool:
        return self._lease_valid(worker) and self._reaches(worker) and self.server.can_write

    def _lose(self, worker: Worker) -> None:
        if worker.session is not None:
            self.server.end_session(worker.session)
            worker.session = None
        worker.lose()

    def _end(self, worker: Worker) -> None:
        if worker.session is not None:
            self.server.end_session(worker.session)
        worker.die()


@pytest.fixture
def model_connection(testbed: WorkerTestBed) -> Iterator[psycopg.Connection]:
    """Yield a database with a stopped clock."""
    testbed.add_all((f"AP-{number}", "ws://127.0.0.1:9") for number in range(GATEWAYS))
    with psycopg.connect(testbed.database_url, autocommit=True) as connection:
        connection.execute(MODEL.encode())
        connection.execute("SET search_path = model, pg_catalog, public")
        yield connection


@pytest.mark.req("LIFECYCLE-05", "STATUS-01")
def test_never_two_workers_with_sessions_to_one_gateway(model_connection: psycopg.Connection) -> None:
    gateways = [row[0] for row in model_connection.execute("SELECT id FROM gateways").fetchall()]

    count = itertools.count()

    class OnThisServer(LeaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.server = Server(model_connection, gateways)

        @invariant()
        def one_step_more(self) -> None:
            next(count)

    run_state_machine_as_test(
        OnThisServer,
        settings=settings(
            settings(),
            # Faults show within a few steps: many short runs find more than few long ones.
            max_examples=max(LEAST_STORIES, settings().max_examples),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(next(count), "steps")
