"""Plans from desired and running connections, without real ones."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.gateway_manager.assignment.reconcile import make_plan

pytestmark = pytest.mark.req("ORCH-01")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
IDS = st.integers(min_value=1, max_value=12).map(lambda number: UUID(int=number))
VERSIONS = st.tuples(
    st.integers(min_value=1, max_value=3),
    st.integers(min_value=0, max_value=2).map(lambda s: EPOCH + timedelta(s)),
)
SOME = st.dictionaries(IDS, VERSIONS)


@given(SOME, SOME, st.sets(IDS))
def test_a_plan_leads_from_running_to_desired_connections(
    wanted: dict[UUID, tuple[int, datetime]], running: dict[UUID, tuple[int, datetime]], stopping: set[UUID]
) -> None:
    plan = make_plan(wanted, running, stopping & set(running))
    after = dict(running)
    for row_id in plan.stop:
        assert row_id not in stopping
        del after[row_id]
    for row_id in plan.start:
        assert row_id not in running
        after[row_id] = wanted[row_id]
    for row_id in plan.change:
        assert after[row_id] != wanted[row_id]
        after[row_id] = wanted[row_id]
    # A stopping connection is left alone until it has stopped.
    left = stopping & set(running)
    assert {row_id: version for row_id, version in after.items() if row_id not in left} == {
        row_id: version for row_id, version in wanted.items() if row_id not in left
    }


@given(SOME)
def test_nothing_is_done_twice(wanted: dict[UUID, tuple[int, datetime]]) -> None:
    plan = make_plan(wanted, dict(wanted), [])
    assert (plan.start, plan.change, plan.stop) == ([], [], [])
