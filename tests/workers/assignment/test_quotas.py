"""Workers compute their quotas independently; the fleet becomes even and then stays unchanged."""

import math
import random
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.database.observed.workers import WorkerLoad
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.workers.conftest import StartSite, StartWorker
from workers.gateway_manager.assignment.quotas import TOLERANCE, quota_for, quotas

counts = st.lists(st.integers(0, 400), min_size=1, max_size=12)


capacities = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=12)


def loads(held: list[int]) -> list[WorkerLoad]:
    return [WorkerLoad(UUID(int=number), count) for number, count in enumerate(held)]


def limited(workers: list[tuple[int, int]]) -> list[WorkerLoad]:
    """Return the loads of workers with these numbers of gateways and capacities."""
    return [
        WorkerLoad(UUID(int=number), held, capacity=capacity)
        for number, (held, capacity) in enumerate(workers)
    ]


@dataclass
class Fleet:
    """Workers that act one after the other, each on the current loads."""

    wanted: int
    held: list[int]
    handed_over: int = 0
    order: random.Random = field(default_factory=lambda: random.Random(7))

    def turn(self) -> None:
        """Let each act once, in any order."""
        for number in self.order.sample(range(len(self.held)), len(self.held)):
            share = quota_for(UUID(int=number), self.wanted, loads(self.held))
            free = max(0, self.wanted - sum(self.held))
            self.held[number] += min(share.may_claim, free) - share.hand_over
            self.handed_over += share.hand_over

    def is_even(self) -> bool:
        """Whether no two differ by more than one gateway, or the tolerance."""
        return max(self.held) - min(self.held) <= max(1, TOLERANCE * self.wanted / len(self.held))


@given(counts, st.integers(0, 3000))
def test_quotas_add_up_and_differ_by_one_at_most(held: list[int], wanted: int) -> None:
    numbers = quotas(wanted, loads(held)).values()
    assert sum(numbers) == wanted
    assert max(numbers) - min(numbers) <= 1


@given(capacities, st.integers(0, 3000))
def test_no_quota_exceeds_a_workers_capacity(workers: list[tuple[int, int]], wanted: int) -> None:
    fleet = limited(workers)
    quotas_by_worker = quotas(wanted, fleet)
    assert sum(quotas_by_worker.values()) == min(wanted, sum(capacity for _, capacity in workers))
    open_to_more = [
        quotas_by_worker[each.worker_id] for each in fleet if quotas_by_worker[each.worker_id] < each.capacity
    ]
    for each in fleet:
        assert 0 <= quotas_by_worker[each.worker_id] <= each.capacity
        # A full worker has at most one gateway more than the others.
        assert all(quotas_by_worker[each.worker_id] <= other + 1 for other in open_to_more)
    if open_to_more:
        assert max(open_to_more) - min(open_to_more) <= 1


@given(capacities, st.integers(0, 1000))
def test_limited_workers_fill_their_capacity_and_settle(workers: list[tuple[int, int]], free: int) -> None:
    wanted = sum(held for held, _ in workers) + free
    held = [count for count, _ in workers]

    def turn() -> int:
        moved = 0
        for number in range(len(held)):
            fleet = limited(list(zip(held, (capacity for _, capacity in workers), strict=True)))
            share = quota_for(UUID(int=number), wanted, fleet)
            assert share.is_overloaded == (held[number] > fleet[number].capacity)
            claimed = min(share.may_claim, wanted - sum(held))
            held[number] += claimed - share.hand_over
            moved += claimed + share.hand_over
        return moved

    for _ in range(4):
        turn()
    assert sum(held) == min(wanted, sum(capacity for _, capacity in workers))
    assert all(count <= capacity for count, (_, capacity) in zip(held, workers, strict=True))
    assert turn() == 0


@given(counts, st.integers(0, 500))
def test_a_fleet_becomes_even_and_settles(held: list[int], free: int) -> None:
    fleet = Fleet(sum(held) + free, held)
    for _ in range(3):
        fleet.turn()
    assert sum(fleet.held) == fleet.wanted
    assert fleet.is_even()
    before, handed_over = list(fleet.held), fleet.handed_over
    fleet.turn()
    assert (fleet.held, fleet.handed_over) == (before, handed_over)


@given(st.integers(1, 12), st.integers(0, 1000))
def test_only_the_quota_of_a_new_worker_moves(others: int, wanted: int) -> None:
    even = [wanted // others + (number < wanted % others) for number in range(others)]
    fleet = Fleet(wanted, [*even, 0])
    for _ in range(3):
        fleet.turn()
    assert fleet.handed_over <= math.ceil(wanted / (others + 1))


@given(counts, st.integers(1, 500))
def test_no_gateway_is_released_while_enough_are_free(held: list[int], free: int) -> None:
    wanted = sum(held) + free
    lacking = sum(max(0, quota - held[i.int]) for i, quota in quotas(wanted, loads(held)).items())
    if lacking <= free:
        assert all(
            quota_for(UUID(int=number), wanted, loads(held)).hand_over == 0 for number in range(len(held))
        )


def test_a_worker_missing_from_the_loads_neither_claims_nor_releases() -> None:
    share = quota_for(UUID(int=99), 10, loads([4, 4]))
    assert (share.may_claim, share.hand_over) == (0, 0)
    assert quota_for(UUID(int=99), 10, []) == share


def quotas_by_worker(*workers: ThreadedWorker) -> list[int]:
    return sorted(len(worker.registry.ids()) for worker in workers)


@pytest.mark.req("LIFECYCLE-04", "LIFECYCLE-05")
def test_joining_workers_get_their_quota_by_close_then_connect(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    count = 12
    site = start_site(count)
    first = start_worker(LEASE_S="30")
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    site.wait(lambda seen: seen.summary()["open_sessions"] == count)
    second = start_worker(LEASE_S="30")
    site.wait(lambda seen: seen.summary()["logins"] == count + 6)
    wait_until(lambda: quotas_by_worker(first, second) == [6, 6])
    third = start_worker(LEASE_S="30")
    wait_until(lambda: quotas_by_worker(first, second, third) == [4, 4, 4])
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    seen = site.summary()
    assert (seen["logins"], seen["open_sessions"], seen["max_open_sessions"]) == (count + 6 + 4, count, 1)
    ends = [end for gateway in site.gateways for end in gateway.sessions_closed]
    assert {(end.code, end.unsubscribed, end.by) for end in ends} == {(1000, True, "client")}
    moved = testbed.rows(
        "SELECT from_state, to_state FROM gateway_events WHERE reason_code = 'rebalanced' ORDER BY id"
    )
    steps = [("connected", "disconnecting"), ("disconnecting", "disconnected")]
    assert sorted(set(moved)) == steps
    assert len(moved) == 2 * (6 + 4)


@pytest.mark.req("LIFECYCLE-04")
def test_a_stopping_worker_claims_nothing_new(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(2)
    first = start_worker(LEASE_S="30", CLOSE_TIMEOUT_S="3")
    row_id = testbed.add("AP-1", site.gateway("AP-1").url)
    testbed.wait_for_state(row_id, "connected")
    second = start_worker(LEASE_S="30")
    wait_until(lambda: len(testbed.rows("SELECT FROM workers WHERE ended_at IS NULL")) == 2)
    # It stops slowly: a frozen gateway does not answer the close.
    site.gateway("AP-1").freeze()
    first.worker.request_stop()
    wait_until(lambda: testbed.rows("SELECT FROM workers WHERE is_draining") != [])
    other_id = testbed.add("AP-2", site.gateway("AP-2").url)
    assert testbed.wait_for_state(other_id, "connected").worker_id == second.worker._lease.worker.id  # type: ignore[union-attr]
