"""The table of transitions in the registry, and the registry's reports."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from service.database.observed.active_gateways import HeldGateway
from service.database.observed.workers import WorkerIdentity
from service.gateway_states import QUEUED, Phase, Reason, ReasonCode, State
from workers.gateway_manager import registry as registry_module
from workers.gateway_manager.registry import GatewayRegistry
from workers.gateway_manager.states import TRANSITIONS, IllegalTransitionError

ROW_ID = UUID(int=1)
REASON = Reason(ReasonCode.CONNECTION_LOST, "Gone.", Phase.SESSION)


def registry_with(*row_ids: UUID) -> GatewayRegistry:
    registry = GatewayRegistry()
    registry.add(held(row_id) for row_id in row_ids)
    return registry


def held(row_id: UUID) -> HeldGateway:
    """Return a claimed gateway as the database returns it."""
    return HeldGateway(row_id, True, 3, datetime.now(UTC), 5, 9, 0, last_rejected_age=None)


def registry_in(state: State) -> GatewayRegistry:
    """Return a registry with the gateway in this state, reached by real transitions."""
    registry = registry_with(ROW_ID)
    ways = {
        State.DISCONNECTED: [],
        State.CONNECTING: [State.CONNECTING],
        State.AUTHENTICATING: [State.CONNECTING, State.AUTHENTICATING],
        State.CONNECTED: [State.CONNECTING, State.AUTHENTICATING, State.CONNECTED],
        State.RETRYING: [State.CONNECTING, State.RETRYING],
        State.AUTH_FAILED: [State.CONNECTING, State.AUTHENTICATING, State.AUTH_FAILED],
        State.DISCONNECTING: [State.CONNECTING, State.AUTHENTICATING, State.DISCONNECTING],
    }
    for following in ways[state]:
        registry.transition(ROW_ID, following)
    return registry


@pytest.mark.req("ORCH-02")
@pytest.mark.parametrize(("current", "following"), list(product(State, State)))
def test_every_transition(current: State, following: State) -> None:
    registry = registry_in(current)
    registry.take_changes(100)
    before = registry.find(ROW_ID)
    if following in TRANSITIONS[current]:
        registry.transition(ROW_ID, following, REASON, generation=7, attempt=2)
        after = registry.find(ROW_ID)
        assert after is not None
        assert (after.state, after.reason, after.generation, after.attempt) == (following, REASON, 7, 2)
        assert (after.connected_since is not None) == (following is State.CONNECTED)
        (transition,) = registry.take_changes(100).transitions
        assert (transition.from_state, transition.to_state) == (current, following)
    else:
        with pytest.raises(IllegalTransitionError):
            registry.transition(ROW_ID, following, REASON, generation=7, attempt=2)
        assert registry.find(ROW_ID) == before
        assert not registry.has_changes()


@pytest.mark.req("ORCH-02")
def test_every_state_leads_back_to_disconnected() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {State.DISCONNECTED}
    while more := {state for state in State if TRANSITIONS[state] & reached} - reached:
        reached |= more
    assert reached == set(State)
    assert all(state not in following for state, following in TRANSITIONS.items())


@pytest.mark.req("ORCH-06")
def test_a_gateway_silent_while_others_answered_counts_as_failing() -> None:
    minutes = {"well": 60, "just cut": 64, "away": 70, "never": None, "new": None}
    ids = {name: UUID(int=number) for number, name in enumerate(minutes)}
    registry = GatewayRegistry()
    registry.add(
        replace(
            held(ids[name]),
            was_held=name != "new",
            last_seen_age=None if age is None else timedelta(minutes=age),
        )
        for name, age in minutes.items()
    )
    failing = {name for name, row_id in ids.items() if (found := registry.find(row_id)) and found.was_failing}
    assert failing == {"away", "never"}


@pytest.mark.req("STATUS-05")
def test_times_and_counters_of_a_session() -> None:
    registry = registry_in(State.CONNECTED)
    connected = registry.find(ROW_ID)
    assert connected is not None
    assert connected.connects == 6
    assert connected.connected_since == connected.last_connected_at
    # A connection records the time of the activity before it reports connected.
    assert connected.last_seen_at is None
    registry.record_activity(ROW_ID, message=False, at=7.0)
    assert registry.find(ROW_ID) == connected._replace(last_seen_at=7.0)
    registry.record_activity(ROW_ID, message=True, at=8.0)
    heard = registry.find(ROW_ID)
    assert heard is not None
    assert (heard.messages_received, heard.last_message_at) == (10, 8.0)
    registry.transition(ROW_ID, State.RETRYING, REASON, retry_in_s=5)
    lost = registry.find(ROW_ID)
    assert lost is not None
    assert lost.connected_since is None
    assert lost.last_disconnected_at == lost.state_since
    assert lost.next_attempt_at == lost.state_since + 5
    assert lost.last_connected_at == connected.last_connected_at


@pytest.mark.req("STATUS-04")
def test_reports_that_could_not_be_written_are_taken_again_in_order() -> None:
    registry = registry_in(State.AUTHENTICATING)
    taken = registry.take_changes(100)
    assert not registry.has_changes()
    registry.transition(ROW_ID, State.CONNECTED)
    registry.give_back(taken)
    again = registry.take_changes(100)
    assert [one.to_state for one in again.transitions] == [
        State.CONNECTING,
        State.AUTHENTICATING,
        State.CONNECTED,
    ]
    assert [one.state for one in again.observations] == [State.CONNECTED]


@pytest.mark.req("STATUS-04")
def test_reports_taken_under_a_lost_lease_have_no_effect_under_the_next() -> None:
    """The reporter may learn late whether its last batch was written."""
    first, second = (WorkerIdentity(uuid4(), epoch) for epoch in (1, 2))
    registry = registry_with()
    registry.reset(first)
    registry.add([held(ROW_ID)])
    registry.transition(ROW_ID, State.CONNECTING)
    registry.finish(ROW_ID)
    taken = registry.take_changes(100)
    assert (taken.owner, len(taken.transitions)) == (first, 2)
    registry.reset(second)
    registry.add([held(ROW_ID)])
    registry.give_back(taken)
    assert not registry.has_changes()
    assert registry.forget_released(taken) == []
    assert registry.is_waiting(ROW_ID)
    registry.transition(ROW_ID, State.CONNECTING)
    assert registry.take_changes(100).owner == second


@pytest.mark.req("STATUS-04")
def test_changes_are_taken_in_limited_batches() -> None:
    ids = [uuid4() for _ in range(5)]
    registry = registry_with(*ids)
    for row_id in ids:
        registry.transition(row_id, State.CONNECTING)
    sizes = []
    while registry.has_changes():
        changes = registry.take_changes(2)
        sizes.append((len(changes.observations), len(changes.transitions)))
    assert sizes == [(2, 2), (2, 2), (1, 1)]


@pytest.mark.req("STATUS-05")
def test_only_gateways_with_activity_are_touched() -> None:
    registry = registry_in(State.CONNECTED)
    registry.take_changes(100)
    assert not registry.take_touched(0.000_001)
    registry.record_activity(ROW_ID, message=False, at=7.0)
    touched = registry.take_touched(0.000_000_001)
    assert [one.gateway_id for one in touched.touched] == [ROW_ID]
    assert not registry.take_touched(0.000_000_001)
    registry.give_back(touched)
    assert registry.take_touched(0.000_000_001)


@pytest.mark.req("STATUS-04")
@pytest.mark.parametrize("state", State)
def test_a_finished_connection_is_disconnected_after_any_end(state: State) -> None:
    registry = registry_in(state)
    registry.take_changes(100)
    registry.finish(ROW_ID)
    over = registry.find(ROW_ID)
    assert over is not None
    assert over.is_finished
    assert (over.state, over.connected_since) == (State.DISCONNECTED, None)
    assert not registry.is_waiting(ROW_ID)
    changes = registry.take_changes(100)
    assert changes.observations == [over]
    assert [(one.from_state, one.to_state) for one in changes.transitions] == (
        [] if state is State.DISCONNECTED else [(state, State.DISCONNECTED)]
    )
    assert registry.forget_released(changes) == [ROW_ID]
    assert registry.find(ROW_ID) is None
    assert len(registry) == 0


@pytest.mark.req("ORCH-03")
def test_a_held_gateway_waits_for_its_turn() -> None:
    registry = registry_with(ROW_ID)
    found = registry.find(ROW_ID)
    assert found is not None
    assert (found.state, found.reason, found.generation) == (State.DISCONNECTED, QUEUED, 3)
    assert registry.is_waiting(ROW_ID)
    registry.reset(None)
    assert registry.ids() == set()
    assert not registry.has_changes()


def test_unwritten_history_is_limited(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry_module, "MAX_PENDING_EVENTS", 3)
    registry = registry_with(ROW_ID)
    for _ in range(3):
        registry.transition(ROW_ID, State.CONNECTING)
        registry.transition(ROW_ID, State.RETRYING, REASON)
    kept = registry.take_changes(10).transitions
    assert [one.to_state for one in kept] == [State.RETRYING, State.CONNECTING, State.RETRYING]
    assert len(caplog.records) == 1


def test_every_loss_of_history_is_logged_with_its_size(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry_module, "MAX_PENDING_EVENTS", 3)
    registry = registry_with(ROW_ID)

    def lose() -> None:
        """Lose three of six; the rest is written at the second attempt."""
        for _ in range(3):
            registry.transition(ROW_ID, State.CONNECTING)
            registry.transition(ROW_ID, State.RETRYING, REASON)
        registry.give_back(registry.take_changes(10))
        registry.forget_released(registry.take_changes(10))

    for episode in (1, 2):
        lose()
        said = [record.getMessage() for record in caplog.records]
        assert len([words for words in said if "the oldest are dropped" in words]) == episode
        assert len([words for words in said if "3 transitions were dropped" in words]) == episode
