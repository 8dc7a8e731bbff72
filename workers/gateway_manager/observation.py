"""What is known of one connection, and how transitions change it. Pure: no lock, no clock, no thread."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from service.database.observed.active_gateways import HeldGateway
from service.database.observed.workers import WorkerIdentity
from service.gateway_states import QUEUED, Reason, ReasonCode, State
from workers.gateway_manager.states import WORKER_LOST, check_transition

_FAILING_FOR = timedelta(minutes=5)


class Observation(NamedTuple):
    """What is known of one connection. All times are monotonic seconds of this process.

    A tuple, because each transition makes a new one, and a dataclass takes several times as long.
    """

    gateway_id: UUID
    state: State
    state_since: float
    reason: Reason | None
    reason_at: float
    generation: int
    attempt: int = 0
    next_attempt_at: float | None = None
    connected_since: float | None = None
    last_connected_at: float | None = None
    last_disconnected_at: float | None = None
    last_seen_at: float | None = None
    last_message_at: float | None = None
    connects: int = 0
    messages_received: int = 0
    rejected_logins: int = 0
    """Consecutive ones."""
    last_rejected_at: float | None = None
    was_failing: bool = False
    """It was presumably unreachable when this worker got it."""
    is_finished: bool = False
    """The connection has ended for good: once this is written, the gateway is free."""


@dataclass(slots=True)
class Activity:
    """The part of an observation that every frame changes."""

    last_seen_at: float | None = None
    last_message_at: float | None = None
    messages_received: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """A change from one state to another, for the history."""

    gateway_id: UUID
    at: float
    from_state: State
    to_state: State
    reason: Reason | None
    attempt: int
    generation: int


@dataclass(frozen=True, slots=True)
class PendingReport:
    """What to write to the database: the latest observations, and every transition."""

    owner: WorkerIdentity | None = None
    """The worker under whose lease they were observed. Only it may write them."""
    observations: list[Observation] = field(default_factory=list)
    touched: list[Observation] = field(default_factory=list)
    """Unchanged in state, but heard from since."""
    transitions: list[Transition] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.observations or self.touched or self.transitions)


@dataclass(slots=True)
class Counters:
    """Totals since this worker started, however often the lease was lost."""

    attempts: int = 0
    connects: int = 0
    messages: int = 0
    failures: Counter[ReasonCode] = field(default_factory=Counter)

    def count(self, transition: Transition) -> None:
        """Counts an attempt, a session or a failure."""
        if transition.to_state is State.CONNECTING:
            self.attempts += 1
        elif transition.to_state is State.CONNECTED:
            self.connects += 1
        elif transition.to_state in (State.RETRYING, State.AUTH_FAILED) and transition.reason is not None:
            self.failures[transition.reason.code] += 1


def newly_held(gateway: HeldGateway, newest: timedelta | None, now: float) -> Observation:
    """The observation of a gateway that this worker has just got.

    `newest`: the least `last_seen_age` of all gateways that it got together with this one.
    """
    return Observation(
        gateway.id,
        State.DISCONNECTED,
        now,
        QUEUED,
        now,
        generation=gateway.generation,
        connects=gateway.connects,
        rejected_logins=gateway.rejected_logins,
        last_rejected_at=None
        if gateway.last_rejected_age is None
        else now - gateway.last_rejected_age.total_seconds(),
        was_failing=_was_failing(gateway, newest),
    )


def with_activity(observation: Observation, activity: Activity) -> Observation:
    """The observation with what has been received so far."""
    return observation._replace(
        last_seen_at=activity.last_seen_at,
        last_message_at=activity.last_message_at,
        messages_received=activity.messages_received,
    )


def transitioned(  # noqa: PLR0913 - the fields that a transition sets, each by its name
    before: Observation,
    state: State,
    reason: Reason | None,
    now: float,
    *,
    generation: int | None,
    attempt: int | None,
    retry_in_s: float | None,
    rejected_logins: int,
) -> Observation:
    """The observation in another state. Raises IllegalTransitionError."""
    check_transition(before.state, state)
    after = before._replace(
        state=state,
        state_since=now,
        reason=reason,
        reason_at=now,
        generation=before.generation if generation is None else generation,
        attempt=before.attempt if attempt is None else attempt,
        next_attempt_at=None if retry_in_s is None else now + retry_in_s,
        rejected_logins=rejected_logins,
        last_rejected_at=now if rejected_logins > before.rejected_logins else before.last_rejected_at,
    )
    return _with_connection_times(before, after, now)


def finished(before: Observation, reason: Reason | None, now: float) -> Observation:
    """The observation of a connection that has ended for good.

    `reason`: why it was stopped; it counts if the connection had no session. A connection whose thread ended
    in another state than disconnected lost its lease, or crashed: the database accepts only disconnected for
    a gateway that is free, and would reject the whole batch with it.
    """
    after = before._replace(is_finished=True)
    if before.state is not State.DISCONNECTED:
        after = after._replace(
            state=State.DISCONNECTED,
            state_since=now,
            reason=WORKER_LOST,
            reason_at=now,
            next_attempt_at=None,
        )
    elif reason is not None and reason != before.reason:
        after = after._replace(reason=reason, reason_at=now)
    return _with_connection_times(before, after, now)


def between(before: Observation, after: Observation) -> Transition:
    """The transition from one observation to the next."""
    return Transition(
        after.gateway_id,
        after.state_since,
        before.state,
        after.state,
        after.reason,
        after.attempt,
        after.generation,
    )


def _was_failing(gateway: HeldGateway, newest: timedelta | None) -> bool:
    """Whether it was held, and silent while others were heard; `newest`: the least `last_seen_age`."""
    if not gateway.was_held or gateway.last_seen_age is None or newest is None:
        return gateway.was_held and gateway.last_seen_age is None
    return gateway.last_seen_age > newest + _FAILING_FOR


def _with_connection_times(before: Observation, after: Observation, now: float) -> Observation:
    if after.state is State.CONNECTED:
        return after._replace(
            connected_since=now,
            last_connected_at=now,
            connects=before.connects + 1,
        )
    if before.state is State.CONNECTED:
        return after._replace(connected_since=None, last_disconnected_at=now)
    return after
