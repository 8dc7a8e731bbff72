"""A worker updates its desired gateways without reading all of them again."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest

from service.database.engine.pool import ConnectionExecutor
from service.database.observed.connections import ConnectionRepository
from service.database.observed.reports import ConnectionReport
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from tests.support.testbed import WorkerTestBed
from workers.gateway_manager.assignment.desired import DesiredGateways

pytestmark = pytest.mark.req("ORCH-01")
NEVER_S = 1_000_000.0


@dataclass
class Holder:
    """A worker that claims and polls by hand; it reads everything only when necessary."""

    identity: WorkerIdentity
    connections: ConnectionRepository
    wanted: DesiredGateways

    def claim(self, limit: int) -> list[UUID]:
        """Claims; returns which."""
        return [one.gateway_id for one in self.connections.claim(limit)]

    def look(self) -> list[UUID]:
        """Poll once; return what was read."""
        self.wanted.poll(self.identity)
        return sorted(gateway.id for gateway in self.wanted.read(self.identity))

    def release(self, row_id: UUID) -> None:
        """Write the release of a gateway."""
        over = ConnectionReport(gateway_id=row_id, is_over=True, state="disconnected")
        assert self.connections.report([over]) == {row_id}


@pytest.fixture
def holder(testbed: WorkerTestBed) -> Iterator[Holder]:
    """Yield a holder after its first full read, which found nothing."""
    with psycopg.connect(testbed.database_url, autocommit=True) as connection:
        executor = ConnectionExecutor(connection)
        identity = WorkerRepository(executor).register("here", 1, "test", lease_s=30)
        made = Holder(identity, ConnectionRepository(executor, identity), DesiredGateways(executor, NEVER_S))
        assert made.look() == []
        yield made


@pytest.fixture
def row_ids(testbed: WorkerTestBed) -> list[UUID]:
    return sorted(testbed.add_all((f"AP-{number}", "ws://127.0.0.1:9") for number in range(3)))


def test_claimed_gateways_are_read_and_wanted_ones_counted(holder: Holder, row_ids: list[UUID]) -> None:
    holder.wanted.mark_stale(holder.claim(2))
    assert holder.look() == row_ids[:2]
    assert sorted(holder.wanted.versions) == row_ids[:2]
    assert holder.wanted.count == 3


def test_a_change_is_found_without_a_notification(
    holder: Holder, testbed: WorkerTestBed, row_ids: list[UUID]
) -> None:
    holder.wanted.mark_stale(holder.claim(3))
    holder.look()
    before = dict(holder.wanted.versions)
    testbed.rows("UPDATE gateways SET url = 'ws://127.0.0.2:9' WHERE id = %s", row_ids[0])
    testbed.rows("UPDATE gateways SET desired_state = 'disconnected' WHERE id = %s", row_ids[1])
    assert row_ids[0] in holder.look()
    assert sorted(holder.wanted.versions) == [row_ids[0], row_ids[2]]
    assert holder.wanted.versions[row_ids[0]] > before[row_ids[0]]
    assert holder.wanted.versions[row_ids[2]] == before[row_ids[2]]


def test_a_gateway_no_longer_wanted_when_claimed_is_read_to_be_released(
    holder: Holder, testbed: WorkerTestBed, row_ids: list[UUID]
) -> None:
    claimed = holder.claim(3)
    testbed.disconnect(row_ids[0])
    testbed.delete(row_ids[1])
    holder.wanted.mark_stale(claimed)
    assert holder.look() == row_ids
    assert list(holder.wanted.versions) == [row_ids[2]]


def test_a_released_gateway_is_dropped_unless_claimed_again(holder: Holder, row_ids: list[UUID]) -> None:
    holder.wanted.mark_stale(holder.claim(3))
    holder.look()
    for row_id in row_ids[:2]:
        holder.release(row_id)
    holder.claim(1)
    holder.wanted.mark_stale(row_ids[:2])
    assert row_ids[0] in holder.look(), "the claim came as early as possible: before the release was reported"
    assert sorted(holder.wanted.versions) == [row_ids[0], row_ids[2]]


def test_an_unreported_change_is_found_by_a_full_read(
    holder: Holder, testbed: WorkerTestBed, row_ids: list[UUID]
) -> None:
    holder.wanted.mark_stale(holder.claim(3))
    holder.look()
    assert sorted(holder.wanted.versions) == row_ids
    testbed.rows("UPDATE factories SET deleted_at = now()")
    holder.wanted.mark_all_stale()
    holder.look()
    assert holder.wanted.versions == {}
