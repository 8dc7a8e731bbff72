"""Recovery groups: no storm, no starvation, limited attempts, and a site that reconnects quickly."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any, Self
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import TupleRow

from service.database.engine.notifications import notify_recoveries
from service.database.engine.pool import ConnectionExecutor
from service.gateway_states import ReasonCode
from workers.gateway_manager.connection.backoff import AttemptHistory, BackoffPolicy, after_failure, delay_s
from workers.gateway_manager.connection.recovery import (
    INITIAL_RETRIES,
    MAX_GAP_S,
    MAX_RETRIES_PER_MEMBER,
    MIN_CONFIRMATIONS,
    RECOVERY_QUIET_S,
    REPEAT_AFTER_S,
    RETRIES_PER_RECOVERY,
    SPREAD_S,
    RecoveryGroup,
    groups_of,
)
from workers.gateway_manager.connection.recovery_groups import RecoveryGroups

pytestmark = pytest.mark.req("ORCH-04")
POLICY = BackoffPolicy(
    initial_s=1, maximum_s=45, good_after_s=60, login_tries=3, login_retry_s=5, login_quarantine_s=900
)
MINUTE_S, HOUR_S = 60.0, 3600.0


def ids(count: int) -> list[UUID]:
    return [UUID(int=number) for number in range(count)]


# A whole site on a simulated clock.


@dataclass
class Site:
    """Members of one group that all fail at 0 and are back from `back_at` on, with a real backoff."""

    count: int
    back_at: float
    attempt_s: float = 0.05
    """The time to connect or to be refused."""
    learns: bool = True
    seed: int = 1
    opens_over_s: float = 0.0
    """Each is back at a random time within this many seconds from `back_at`."""
    gone: int = 0
    """This many of them never come back."""
    attempts: list[float] = field(default_factory=list)
    connected: dict[UUID, float] = field(default_factory=dict)
    """The delay from each one's return to its connection."""

    def run(self) -> "Site":
        random_fraction = random.Random(self.seed)
        group, records = RecoveryGroup(), dict.fromkeys(ids(self.count), AttemptHistory())
        backs = {member: self.back_at + self.opens_over_s * random_fraction.random() for member in records}
        backs.update(dict.fromkeys(ids(self.gone), inf))
        due: dict[UUID, float] = {}
        called_at: dict[UUID, float] = {}
        """Members called during an attempt."""
        agenda: list[tuple[float, int, Callable[[float], None]]] = []
        numbers = iter(range(10**9))

        def at(time: float, what: Callable[[float], None]) -> None:
            heapq.heappush(agenda, (time, next(numbers), what))

        def wait(member: UUID, until: float) -> None:
            due[member] = until
            at(until, lambda now: begin(member, now) if due.get(member) == until else None)

        def fail(member: UUID, now: float, lasted_s: float = 0.0) -> None:
            records[member] = after_failure(POLICY, records[member], lasted_s)
            until = now + delay_s(POLICY, records[member], random_fraction.random())
            until = group.failed(member, until, now) if self.learns else until
            wait(member, max(now, min(until, called_at.pop(member, inf))))

        def begin(member: UUID, now: float) -> None:
            self.attempts.append(now)
            group.attempting(member)
            del due[member]
            is_back = now >= backs[member]
            at(now + self.attempt_s, lambda then: connect(member, then) if is_back else fail(member, then))

        def connect(member: UUID, now: float) -> None:
            self.connected[member] = now - backs[member]
            for called, until in group.recovered(member, now, was_stable=True) if self.learns else ():
                if called in due:
                    assert until <= due[called], "no attempt is later than its backoff"
                    wait(called, until)
                else:
                    called_at[called] = until

        for member in ids(self.count):
            fail(member, 0.0, lasted_s=HOUR_S)
        while len(self.connected) < self.count - self.gone:
            now, _, what = heapq.heappop(agenda)
            what(now)
        return self


TIMES = [
    (20.0, 0.01),
    (20.0, 0.3),
    (20.0, 1.0),
    (10 * MINUTE_S, 0.01),
    (10 * MINUTE_S, 1.0),
    (2 * HOUR_S, 0.3),
]


@pytest.mark.parametrize(("away_s", "attempt_s"), TIMES)
def test_a_site_is_back_within_seconds_after_any_outage(away_s: float, attempt_s: float) -> None:
    site = Site(1000, away_s, attempt_s).run()
    back = sorted(site.connected.values())
    assert back[989] <= 10
    assert back[-1] <= 20
    seconds = Counter(int(moment) for moment in back)
    mean = len(back) / (int(back[-1]) + 1)
    assert max(seconds.values()) <= 2 * mean
    # Each is tried once after its return.
    assert sum(attempt >= away_s for attempt in site.attempts) == 1000


@pytest.mark.parametrize("away_s", [20.0, 10 * MINUTE_S, 2 * HOUR_S], ids=["20s", "10min", "2h"])
def test_an_absent_site_causes_no_extra_attempts(away_s: float) -> None:
    learning, before = Site(100, away_s).run(), Site(100, away_s, learns=False).run()
    assert [one for one in learning.attempts if one < away_s] == [
        one for one in before.attempts if one < away_s
    ]
    assert max(before.connected.values()) > 30 >= 3 * max(learning.connected.values())


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100, 5000])
def test_a_site_of_any_size_recovers(count: int) -> None:
    site = Site(count, 10 * MINUTE_S).run()
    first = min(site.connected.values())
    assert max(site.connected.values()) - first <= SPREAD_S + 1.5


@pytest.mark.parametrize("attempt_s", [0.05, 1.0])
@pytest.mark.parametrize(("count", "gone"), [(1000, 0), (1000, 500), (100, 0), (10, 0)])
@pytest.mark.parametrize("away_s", [20.0, 10 * MINUTE_S])
def test_a_site_whose_gateways_start_one_after_the_other_is_back_within_seconds_of_each(
    away_s: float, count: int, gone: int, attempt_s: float
) -> None:
    site = Site(count, away_s, attempt_s, opens_over_s=15, gone=gone).run()
    back = sorted(site.connected.values())
    assert back[len(back) // 2] <= 8
    assert back[-1] <= 20
    own = Site(count, away_s, attempt_s, opens_over_s=15, gone=gone, learns=False).run()
    extra = len(site.attempts) - sum(attempt <= site.attempts[-1] for attempt in own.attempts)
    assert extra <= INITIAL_RETRIES + RETRIES_PER_RECOVERY * count
    seconds = Counter(int(attempt) for attempt in site.attempts if attempt >= away_s)
    # The attempts of calls and of backoffs in one second.
    assert max(seconds.values()) <= 2 * count / SPREAD_S + 2 / MAX_GAP_S


# Any order of events.


@dataclass
class Model:
    """One group, its calls, and the invariants that hold after each step."""

    group: RecoveryGroup = field(default_factory=RecoveryGroup)
    now: float = 0.0
    due: dict[UUID, float] = field(default_factory=dict)
    own: dict[UUID, float] = field(default_factory=dict)
    called: Counter[tuple[UUID, int]] = field(default_factory=Counter)
    call_times: list[float] = field(default_factory=list)
    back: set[tuple[UUID, int]] = field(default_factory=set)
    last_back_at: float = -inf
    came_back: set[UUID] = field(default_factory=set)
    lost: set[UUID] = field(default_factory=set)
    was_lost: bool = False
    """Most of the recovered members have failed again since."""
    most_waiting: int = 1

    def note(self, member: UUID, at: float) -> None:
        """Record a call: an attempt at that time instead of at the end of its backoff."""
        assert self.now < at
        assert self.due[member] == -inf or at < self.due[member]
        self.due[member] = at
        self.called[member, self.group.recoveries] += 1
        self.call_times.append(at)

    def fail(self, member: UUID, delay: float) -> None:
        self.due[member] = self.own[member] = self.now + delay
        self.most_waiting = max(self.most_waiting, len(self.due))
        self.lost |= {member} & self.came_back
        self.was_lost = len(self.came_back) >= MIN_CONFIRMATIONS and len(self.lost) > len(self.came_back) / 2
        at = self.group.failed(member, self.own[member], self.now)
        if at != self.own[member]:
            self.note(member, at)

    def recover(self, member: UUID, *, was_stable: bool) -> None:
        was_waiting, returns = self.due.pop(member, None) is not None, self.group.recoveries
        calls = self.group.recovered(member, self.now, was_stable=was_stable)
        if not was_waiting:
            assert not calls
        self.note_return(returns)
        for called, at in calls:
            self.note(called, at)
        if self.group.is_recovering(self.now) and was_waiting:
            self.back.add((member, self.group.recoveries))
            self.came_back.add(member)
            self.lost.discard(member)
            self.last_back_at = self.now

    def note_return(self, returns: int) -> None:
        """Record a new recovery, if one began."""
        if self.group.recoveries > returns:
            assert self.now - self.last_back_at > RECOVERY_QUIET_S or self.was_lost
            self.came_back, self.lost = set(), set()
            self.last_back_at = self.now

    def check(self) -> None:
        assert all(count <= MAX_RETRIES_PER_MEMBER for count in self.called.values()), "in one return"
        assert len(self.call_times) <= INITIAL_RETRIES * self.group.recoveries + RETRIES_PER_RECOVERY * len(
            self.back
        )
        gap_s = min(0.05, SPREAD_S / self.most_waiting)
        assert all(later - earlier >= gap_s - 1e-9 for earlier, later in pairwise(sorted(self.call_times)))


MEMBERS = st.integers(0, 40).map(lambda number: UUID(int=number))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["fail", "fail", "fail", "recover", "recover unsteadily", "attempt", "forget", "announced"]
        ),
        MEMBERS,
        st.sampled_from([0.0, 0.01, 1.0, 7.0, 61.0]),
        st.floats(0.001, 45),
    ),
    max_size=150,
)


@settings(max_examples=300)
@given(STEPS)
def test_promises_hold_in_any_order(steps: list[tuple[str, UUID, float, float]]) -> None:
    model = Model()
    for what, member, passed_s, delay in steps:
        model.now += passed_s
        if what == "fail":
            model.fail(member, delay)
        elif what.startswith("recover"):
            model.recover(member, was_stable=what == "recover")
        elif what == "attempt":
            model.group.attempting(member)
            if member in model.due:
                model.due[member] = -inf
        elif what == "forget":
            model.group.forget(member)
            model.due.pop(member, None)
        else:
            returns = model.group.recoveries
            for called, at in model.group.recovery_started_elsewhere(model.now):
                model.note(called, at)
            model.note_return(returns)
        model.check()
    for member in ids(41):
        model.group.forget(member)
    assert model.group.is_idle(model.now + RECOVERY_QUIET_S + 1)


def test_a_flapping_gateway_triggers_no_recovery() -> None:
    group, (flapping, *others) = RecoveryGroup(), ids(20)
    for other in others:
        group.failed(other, HOUR_S, 0.0)
    for number in range(100):
        now = 20.0 * number
        group.failed(flapping, now + 5, now)
        assert group.recovered(flapping, now + 5, was_stable=False) == []


def test_a_single_returning_gateway_costs_few_attempts() -> None:
    group, (first, *others) = RecoveryGroup(), ids(1000)
    for other in (first, *others):
        group.failed(other, HOUR_S, 0.0)
    called = dict(group.recovered(first, 1.0, was_stable=True))
    assert len(called) == INITIAL_RETRIES + RETRIES_PER_RECOVERY
    for other, at in called.items():
        group.attempting(other)
        # It failed: it is not called again.
        assert group.failed(other, HOUR_S, at) == HOUR_S
    # The same member recovering repeatedly triggers no more calls.
    for now in range(10, 60, 10):
        group.failed(first, now, now)
        assert group.recovered(first, now, was_stable=True) == []


def test_short_sessions_of_several_gateways_count_as_a_recovery() -> None:
    group, members = RecoveryGroup(), ids(100)
    for member in members:
        group.failed(member, HOUR_S, 0.0)
    calls = [
        group.recovered(member, 1.0 + n / 10, was_stable=False)
        for n, member in enumerate(members[:MIN_CONFIRMATIONS])
    ]
    assert [len(each) for each in calls] == [
        *[0] * (MIN_CONFIRMATIONS - 1),
        INITIAL_RETRIES + RETRIES_PER_RECOVERY,
    ]


def test_a_site_lost_again_may_recover_again() -> None:
    group, members = RecoveryGroup(), ids(100)
    for now in (0.0, 20.0, 40.0):
        for member in members:
            group.failed(member, HOUR_S, now)
        witnesses = [
            group.recovered(member, now + 10, was_stable=now == 0) for member in members[:MIN_CONFIRMATIONS]
        ]
        assert sum(len(each) for each in witnesses) >= INITIAL_RETRIES
        for member in members[MIN_CONFIRMATIONS:]:
            group.recovered(member, now + 11, was_stable=now == 0)
    assert group.recoveries == 3


def test_a_gateway_with_an_attempt_in_progress_is_retried_as_well() -> None:
    group, (first, hanging) = RecoveryGroup(), ids(2)
    group.failed(first, 5.0, 0.0)
    group.failed(hanging, 1.0, 0.0)
    group.attempting(hanging)
    ((called, at),) = group.recovered(first, 5.0, was_stable=True)
    assert called == hanging
    assert at < 6
    # It is called once, before or after its attempt has failed.
    assert group.failed(hanging, 50.0, 11.0) == 50.0


def test_a_late_gateway_is_retried_again_after_a_pause_and_not_forever() -> None:
    group, (first, late) = RecoveryGroup(), ids(2)
    group.failed(first, HOUR_S, 0.0)
    group.failed(late, HOUR_S, 0.0)
    ((called, at),) = group.recovered(first, 1.0, was_stable=True)
    assert called == late
    for _ in range(MAX_RETRIES_PER_MEMBER - 1):
        group.attempting(late)
        failed_at, at = at, group.failed(late, HOUR_S, at)
        assert REPEAT_AFTER_S <= at - failed_at <= REPEAT_AFTER_S + 0.1
    group.attempting(late)
    assert group.failed(late, HOUR_S, at) == HOUR_S


# A worker's groups.


def test_groups_share_an_address_or_a_factory_and_reason() -> None:
    factory, other_factory = UUID(int=1), UUID(int=2)
    here = set(groups_of("10.0.0.1", factory, ReasonCode.CONNECT_TIMEOUT))
    assert here & set(groups_of("10.0.0.1", other_factory, ReasonCode.CONNECTION_REFUSED))
    assert here & set(groups_of("10.0.0.2", factory, ReasonCode.CONNECT_TIMEOUT))
    assert not here & set(groups_of("10.0.0.2", factory, ReasonCode.CONNECTION_REFUSED))
    for own in (
        ReasonCode.LOGIN_REJECTED,
        ReasonCode.TLS_FAILED,
        ReasonCode.PROTOCOL_ERROR,
        ReasonCode.NO_CAPACITY,
        ReasonCode.INTERNAL_ERROR,
    ):
        assert not groups_of("10.0.0.1", factory, own)


def test_a_recovery_is_announced_once_and_another_worker_retries_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(
        "workers.gateway_manager.connection.recovery_groups.monotonic", lambda: float(next(clock))
    )
    here, there = RecoveryGroups(), RecoveryGroups()
    called: list[tuple[str, UUID]] = []

    def call(where: str, member: UUID) -> Callable[[float], None]:
        return lambda _at: called.append((where, member))

    for name, groups in (("here", here), ("there", there)):
        for member in ids(30):
            assert groups.failed(member, ["host a"], HOUR_S, call(name, member)) == HOUR_S
    here.recovered(UUID(int=0), was_stable=True)
    here.recovered(UUID(int=1), was_stable=True)
    assert {where for where, _ in called} == {"here"}
    assert here.take_started() == ["host a"]
    assert here.take_started() == []
    for _ in range(2):
        there.recovery_started_elsewhere("host a")
    there.recovery_started_elsewhere("host b")
    assert Counter(where for where, _ in called) == {
        "here": INITIAL_RETRIES + 2 * RETRIES_PER_RECOVERY,
        "there": INITIAL_RETRIES,
    }
    assert there.take_started() == []


def test_gateways_in_two_groups_are_retried_once_at_one_rate() -> None:
    groups = RecoveryGroups()
    calls: list[tuple[float, UUID]] = []
    members = ids(200)
    for member in members:
        groups.failed(member, ["host a", "factory 1"], inf, lambda at, who=member: calls.append((at, who)))  # type: ignore[misc]
    for member in members[:20]:
        groups.recovered(member, was_stable=True)
    assert (
        len({member for _, member in calls})
        == len(calls)
        == 2 * (INITIAL_RETRIES + 20 * RETRIES_PER_RECOVERY)
    )
    times = sorted(at for at, _ in calls)
    assert all(later - earlier >= SPREAD_S / 200 - 1e-9 for earlier, later in pairwise(times))


def test_groups_without_gateways_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.gateway_manager.connection.recovery_groups._PRUNE_THRESHOLD", 10)
    groups = RecoveryGroups()
    for number, member in enumerate(ids(500)):
        groups.failed(member, [f"host {number}", "factory"], HOUR_S, lambda _at: None)
        groups.forget(member)
        assert len(groups._groups) <= 20
    assert not groups._members


def test_a_thousand_addresses_announce_a_limited_number_of_recoveries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.gateway_manager.connection.recovery_groups.monotonic", lambda: 1000.0)
    groups = RecoveryGroups()
    for number, member in enumerate(ids(1000)):
        groups.failed(member, [f"host 10.0.0.{number}"], HOUR_S, lambda _at: None)
        groups.recovered(member, was_stable=True)
    assert len(groups.take_started()) == 200
    assert groups.take_started() == []


class CountedCursor(psycopg.Cursor[TupleRow]):
    """Counts its statements: on an autocommit connection each is one transaction."""

    statements = 0

    def execute(self, *arguments: Any, **options: Any) -> Self:
        """See Cursor."""
        type(self).statements += 1
        return super().execute(*arguments, **options)


def test_all_recoveries_are_announced_in_one_transaction(database_url: str) -> None:
    """A notifying commit takes a lock shared by all databases of the server."""
    names = [f"host 10.0.0.{number}" for number in range(200)]
    with (
        psycopg.connect(database_url, autocommit=True) as listening,
        psycopg.connect(database_url, autocommit=True, cursor_factory=CountedCursor) as notifier,
    ):
        listening.execute("LISTEN gateways_returning")
        notify_recoveries(ConnectionExecutor(notifier), names)
        heard = [one.payload for one in listening.notifies(timeout=10, stop_after=len(names))]
    assert heard == names
    assert CountedCursor.statements == 1
