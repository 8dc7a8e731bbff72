"""What is, in memory: every connection's state, and what of it the database does not know yet."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from service.database.observed.active_gateways import HeldGateway
from service.database.observed.workers import WorkerIdentity
from service.gateway_states import QUEUED, Reason, ReasonCode, State
from workers.gateway_manager.states import WORKER_LOST, check_transition

log = logging.getLogger("millgate.status")

MAX_PENDING_EVENTS = 100_000
_FAILING_FOR = timedelta(minutes=5)


class Observation(NamedTuple):
    """What is true of one connection. All times are monotonic seconds of this process.

    A tuple: each move makes another one, for which a dataclass takes several times as long.
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
    """In a row."""
    last_rejected_at: float | None = None
    was_failing: bool = False
    """It was out of reach, by all that is known, when this worker got it."""
    is_finished: bool = False
    """The connection has ended for good: once this is written down, the gateway is free."""


@dataclass(slots=True)
class Activity:
    """What every frame changes of an observation; by far the most of what is written here."""

    last_seen_at: float | None = None
    last_message_at: float | None = None
    messages_received: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """A move from one state to another, for the history."""

    gateway_id: UUID
    at: float
    from_state: State
    to_state: State
    reason: Reason | None
    attempt: int
    generation: int


@dataclass(frozen=True, slots=True)
class PendingReport:
    """What the database does not know yet: the newest of each, and every transition on the way there."""

    owner: WorkerIdentity | None = None
    """Under whose lease they were seen: in nobody else's name may they be written."""
    observations: list[Observation] = field(default_factory=list)
    touched: list[Observation] = field(default_factory=list)
    """These are in the same state as before, but were heard of since."""
    transitions: list[Transition] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.observations or self.touched or self.transitions)


@dataclass(slots=True)
class Counters:
    """What happened since this worker started, however often the lease was lost."""

    attempts: int = 0
    connects: int = 0
    messages: int = 0
    failures: Counter[ReasonCode] = field(default_factory=Counter)


class GatewayRegistry:
    """The one place where the state of connections is held. Any thread may call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: WorkerIdentity | None = None
        self._observations: dict[UUID, Observation] = {}
        """As of the last move; what was heard since is in the activity."""
        self._activity: dict[UUID, Activity] = {}
        self._reported_seen_at: dict[UUID, float] = {}
        self._unreported: dict[UUID, None] = {}
        self._transitions: deque[Transition] = deque()
        self._dropped = 0
        """Transitions, since the history was last written to its end."""
        self._counters = Counters()
        self._closed = False

    def add(self, gateways: Iterable[HeldGateway]) -> None:
        """Gateways that this worker holds from now on, with their counters so far."""
        gateways = list(gateways)
        newest = min((one.last_seen_age for one in gateways if one.last_seen_age is not None), default=None)
        now = monotonic()
        with self._changed:
            for gateway in gateways:
                self._activity[gateway.id] = Activity(messages_received=gateway.messages_received)
                self._observations[gateway.id] = Observation(
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

    def transition(  # noqa: PLR0913 - what a move brings with it, each by its name
        self,
        gateway_id: UUID,
        state: State,
        reason: Reason | None = None,
        *,
        generation: int | None = None,
        attempt: int | None = None,
        retry_in_s: float | None = None,
        rejected_logins: int = 0,
    ) -> None:
        """Moves a connection to another state. Raises IllegalTransitionError and changes nothing."""
        now = monotonic()
        with self._changed:
            before = self._observations[gateway_id]
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
            self._observations[gateway_id] = _with_connection_times(before, after, now)
            self._count_transition(state, reason)
            self._record_transition(
                Transition(gateway_id, now, before.state, state, reason, after.attempt, after.generation)
            )
            self._mark_unreported(gateway_id)

    def adopt(self, gateway_id: UUID, generation: int) -> None:
        """A connection goes on as it is under a newer generation of its gateway."""
        with self._changed:
            self._observations[gateway_id] = self._observations[gateway_id]._replace(generation=generation)
            self._mark_unreported(gateway_id)

    def reschedule(self, gateway_id: UUID, next_attempt_at: float) -> None:
        """The next attempt is at another time than was said."""
        with self._changed:
            before = self._observations[gateway_id]
            self._observations[gateway_id] = before._replace(next_attempt_at=next_attempt_at)
            self._mark_unreported(gateway_id)

    def record_activity(self, gateway_id: UUID, *, message: bool, at: float) -> None:
        """Something was read: a message, or a ping or pong. `at`: as of when the gateway was there."""
        with self._changed:
            activity = self._activity[gateway_id]
            activity.last_seen_at = at
            if message:
                activity.last_message_at = at
                activity.messages_received += 1
                self._counters.messages += 1

    def finish(self, gateway_id: UUID, reason: Reason | None = None) -> None:
        """The connection has ended for good; it stays until the database knows.

        `reason`: why it was to end. It counts where the connection is at rest: it may have been in the queue.
        """
        now = monotonic()
        with self._changed:
            before = self._observations.get(gateway_id)
            if before is not None:
                finished = before._replace(is_finished=True)
                if before.state is not State.DISCONNECTED:
                    finished = self._interrupted(finished, now)
                elif reason is not None and reason != before.reason:
                    finished = finished._replace(reason=reason, reason_at=now)
                self._observations[gateway_id] = _with_connection_times(before, finished, now)
                self._mark_unreported(gateway_id)

    def counters(self) -> Counters:
        """What happened so far."""
        with self._changed:
            return replace(self._counters, failures=Counter(self._counters.failures))

    def ids_connected(self) -> set[UUID]:
        """Those that have a session."""
        with self._changed:
            return {i for i, one in self._observations.items() if one.state is State.CONNECTED}

    def count_states(self) -> Counter[State]:
        """How many gateways this worker holds in each state."""
        with self._changed:
            return Counter(one.state for one in self._observations.values() if not one.is_finished)

    def oldest_unwritten_s(self) -> float:
        """How long ago the oldest transition was that the database does not know; 0 without one."""
        with self._changed:
            return monotonic() - self._transitions[0].at if self._transitions else 0.0

    def ids(self) -> set[UUID]:
        """All gateways that this worker holds, as far as it knows."""
        with self._changed:
            return set(self._observations)

    def is_waiting(self, gateway_id: UUID) -> bool:
        """Whether this worker holds the gateway and its connection has not ended for good."""
        with self._changed:
            observation = self._observations.get(gateway_id)
            return observation is not None and not observation.is_finished

    def has_changes(self) -> bool:
        """Whether there is something to report."""
        with self._changed:
            return bool(self._unreported or self._transitions)

    def __len__(self) -> int:
        """How many gateways this worker holds."""
        return len(self._observations)

    def find(self, gateway_id: UUID) -> Observation | None:
        """What is true of a connection now."""
        with self._changed:
            return self._with_activity(gateway_id) if gateway_id in self._observations else None

    def ids_finished(self) -> set[UUID]:
        """Those whose connection has ended for good, which the database does not know yet."""
        with self._changed:
            return {gateway_id for gateway_id, one in self._observations.items() if one.is_finished}

    def take_changes(self, limit: int) -> PendingReport:
        """At most `limit` of each kind, oldest first; give them back if they could not be written."""
        with self._changed:
            taken = list(islice(self._unreported, limit))
            for gateway_id in taken:
                del self._unreported[gateway_id]
            observations = [self._with_activity(gateway_id) for gateway_id in taken]
            for observation in observations:
                self._reported_seen_at[observation.gateway_id] = observation.last_seen_at or 0.0
            transitions = [self._transitions.popleft() for _ in range(min(limit, len(self._transitions)))]
            return PendingReport(self._owner, observations, transitions=transitions)

    def take_touched(self, freshness_s: float) -> PendingReport:
        """All that were heard of `freshness_s` after it was last reported, or later."""
        with self._changed:
            touched = [
                self._with_activity(gateway_id)
                for gateway_id, activity in self._activity.items()
                if (activity.last_seen_at or 0.0) - self._reported_seen_at.get(gateway_id, 0.0) >= freshness_s
            ]
            for observation in touched:
                self._reported_seen_at[observation.gateway_id] = observation.last_seen_at or 0.0
            return PendingReport(self._owner, touched=touched)

    def give_back(self, changes: PendingReport) -> None:
        """These could not be written: they are the first to be taken again, unless all was forgotten."""
        with self._changed:
            if changes.owner != self._owner:
                return
            self._transitions.extendleft(reversed(changes.transitions))
            for observation in changes.observations:
                if observation.gateway_id in self._observations:
                    self._unreported.setdefault(observation.gateway_id)
            for observation in changes.touched:
                self._reported_seen_at.pop(observation.gateway_id, None)

    def forget_released(self, changes: PendingReport) -> list[UUID]:
        """The database knows these: forgets those of them that are finished, and tells which."""
        with self._changed:
            if changes.owner != self._owner:
                return []
            if not self._transitions:
                self._log_dropped()
            released = [one.gateway_id for one in changes.observations if one.is_finished]
            for gateway_id in released:
                self._observations.pop(gateway_id, None)
                self._activity.pop(gateway_id, None)
                self._reported_seen_at.pop(gateway_id, None)
                self._unreported.pop(gateway_id, None)
            return released

    def reset(self, owner: WorkerIdentity | None) -> None:
        """Forgets everything: the lease is lost, and nothing of it may be written any more.

        What is added from now on is held by `owner`; None: nothing will be.
        """
        with self._changed:
            self._owner = owner
            self._observations.clear()
            self._activity.clear()
            self._reported_seen_at.clear()
            self._unreported.clear()
            self._transitions.clear()
            self._log_dropped()

    def wait_for_changes(self, timeout_s: float) -> None:
        """Returns when there is something to report, when the time is up, or after `close`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._unreported or self._transitions or self._closed, timeout=timeout_s
            )

    def close(self) -> None:
        """Ends all waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _with_activity(self, gateway_id: UUID) -> Observation:
        activity = self._activity[gateway_id]
        return self._observations[gateway_id]._replace(
            last_seen_at=activity.last_seen_at,
            last_message_at=activity.last_message_at,
            messages_received=activity.messages_received,
        )

    def _interrupted(self, finished: Observation, now: float) -> Observation:
        """Its thread ended in the middle: the lease was lost, or we made a mistake.

        The database takes no state but disconnected of what nobody holds, and would refuse the reports of all
        others with it.
        """
        self._record_transition(
            Transition(
                finished.gateway_id,
                now,
                finished.state,
                State.DISCONNECTED,
                WORKER_LOST,
                finished.attempt,
                finished.generation,
            )
        )
        return finished._replace(
            state=State.DISCONNECTED,
            state_since=now,
            reason=WORKER_LOST,
            reason_at=now,
            next_attempt_at=None,
        )

    def _count_transition(self, state: State, reason: Reason | None) -> None:
        if state is State.CONNECTING:
            self._counters.attempts += 1
        elif state is State.CONNECTED:
            self._counters.connects += 1
        elif state in (State.RETRYING, State.AUTH_FAILED) and reason is not None:
            self._counters.failures[reason.code] += 1

    def _record_transition(self, transition: Transition) -> None:
        self._transitions.append(transition)
        if len(self._transitions) > MAX_PENDING_EVENTS:
            self._transitions.popleft()
            if not self._dropped:
                log.error("history not written for so long that its oldest transitions are dropped")
            self._dropped += 1

    def _log_dropped(self) -> None:
        """From now on nothing is dropped; the next time it is said again."""
        if self._dropped:
            log.error("history has a gap: %d transitions were dropped", self._dropped)
        self._dropped = 0

    def _mark_unreported(self, gateway_id: UUID) -> None:
        self._unreported.setdefault(gateway_id)
        self._changed.notify_all()


def _was_failing(gateway: HeldGateway, newest: timedelta | None) -> bool:
    """Whether it was held, and silent when others were heard; `newest`: the least `last_seen_age`."""
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
