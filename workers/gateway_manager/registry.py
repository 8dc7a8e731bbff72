"""The registry: every connection's observation, and what of it the database does not know yet."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from time import monotonic
from uuid import UUID

from service.database.observed.active_gateways import HeldGateway
from service.database.observed.workers import WorkerIdentity
from service.gateway_states import Reason, State
from workers.gateway_manager.observation import (
    Activity,
    Counters,
    Observation,
    PendingReport,
    Transition,
    between,
    finished,
    newly_held,
    transitioned,
    with_activity,
)

log = logging.getLogger("millgate.status")

MAX_PENDING_EVENTS = 100_000


class GatewayRegistry:
    """Holds the state of every connection. Any thread may call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: WorkerIdentity | None = None
        self._observations: dict[UUID, Observation] = {}
        """As of the last transition, without the activity since."""
        self._activity: dict[UUID, Activity] = {}
        self._reported_seen_at: dict[UUID, float] = {}
        self._unreported: dict[UUID, None] = {}
        self._transitions: deque[Transition] = deque()
        self._dropped = 0
        """Transitions dropped since the history was last written completely."""
        self._counters = Counters()
        self._closed = False

    def add(self, gateways: Iterable[HeldGateway]) -> None:
        """Adds gateways that this worker has just got, with their counters so far."""
        gateways = list(gateways)
        newest = min((one.last_seen_age for one in gateways if one.last_seen_age is not None), default=None)
        now = monotonic()
        with self._changed:
            for gateway in gateways:
                self._activity[gateway.id] = Activity(messages_received=gateway.messages_received)
                self._observations[gateway.id] = newly_held(gateway, newest, now)

    def transition(  # noqa: PLR0913 - the fields that a transition sets, each by its name
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
        """Changes a connection's state. Raises IllegalTransitionError and changes nothing."""
        now = monotonic()
        with self._changed:
            before = self._observations[gateway_id]
            after = transitioned(
                before,
                state,
                reason,
                now,
                generation=generation,
                attempt=attempt,
                retry_in_s=retry_in_s,
                rejected_logins=rejected_logins,
            )
            self._observations[gateway_id] = after
            self._record_transition(between(before, after))
            self._mark_unreported(gateway_id)

    def adopt(self, gateway_id: UUID, generation: int) -> None:
        """The connection continues under a newer generation of its gateway."""
        with self._changed:
            self._observations[gateway_id] = self._observations[gateway_id]._replace(generation=generation)
            self._mark_unreported(gateway_id)

    def reschedule(self, gateway_id: UUID, next_attempt_at: float) -> None:
        """Changes the time of the next attempt."""
        with self._changed:
            before = self._observations[gateway_id]
            self._observations[gateway_id] = before._replace(next_attempt_at=next_attempt_at)
            self._mark_unreported(gateway_id)

    def record_activity(self, gateway_id: UUID, *, message: bool, at: float) -> None:
        """A message, ping or pong was received. `at`: when the gateway is known to have been there."""
        with self._changed:
            activity = self._activity[gateway_id]
            activity.last_seen_at = at
            if message:
                activity.last_message_at = at
                activity.messages_received += 1
                self._counters.messages += 1

    def finish(self, gateway_id: UUID, reason: Reason | None = None) -> None:
        """The connection has ended for good; it is kept until the database knows.

        `reason`: why it was stopped.
        """
        now = monotonic()
        with self._changed:
            before = self._observations.get(gateway_id)
            if before is None:
                return
            after = self._observations[gateway_id] = finished(before, reason, now)
            if before.state is not after.state:
                self._record_transition(between(before, after))
            self._mark_unreported(gateway_id)

    def counters(self) -> Counters:
        """A copy of the counters."""
        with self._changed:
            return replace(self._counters, failures=Counter(self._counters.failures))

    def ids_connected(self) -> set[UUID]:
        """The gateways that have a session."""
        with self._changed:
            return {i for i, one in self._observations.items() if one.state is State.CONNECTED}

    def count_states(self) -> Counter[State]:
        """How many gateways this worker holds in each state."""
        with self._changed:
            return Counter(one.state for one in self._observations.values() if not one.is_finished)

    def oldest_unwritten_s(self) -> float:
        """The age of the oldest unwritten transition; 0 without one."""
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
        """The current observation of a connection."""
        with self._changed:
            return self._with_activity(gateway_id) if gateway_id in self._observations else None

    def ids_finished(self) -> set[UUID]:
        """Gateways whose connection has ended for good, unknown to the database so far."""
        with self._changed:
            return {gateway_id for gateway_id, one in self._observations.items() if one.is_finished}

    def take_changes(self, limit: int) -> PendingReport:
        """Takes at most `limit` of each kind, oldest first; give them back if they cannot be written."""
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
        """Takes all that were heard from `freshness_s` or more after the last report of it."""
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
        """Puts back what could not be written, to be taken first, unless the registry was reset."""
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
        """The database knows these: forgets the finished ones, and returns their ids."""
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
        """Forgets everything, since nothing observed under a lost lease may be written.

        `owner`: the worker that holds what is added from now on; None without a lease.
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
        return with_activity(self._observations[gateway_id], self._activity[gateway_id])

    def _record_transition(self, transition: Transition) -> None:
        self._counters.count(transition)
        self._transitions.append(transition)
        if len(self._transitions) > MAX_PENDING_EVENTS:
            self._transitions.popleft()
            if not self._dropped:
                log.error(
                    "cannot write history: more than %d transitions wait, so the oldest are dropped;"
                    " check PostgreSQL, see docs/runbook.md#reports-delayed",
                    MAX_PENDING_EVENTS,
                )
            self._dropped += 1

    def _log_dropped(self) -> None:
        """Logs the gap, and resets it."""
        if self._dropped:
            log.error(
                "history has a gap: %d transitions were dropped; nothing to repair, but find out why they"
                " could not be written, see docs/runbook.md#reports-delayed",
                self._dropped,
            )
        self._dropped = 0

    def _mark_unreported(self, gateway_id: UUID) -> None:
        self._unreported.setdefault(gateway_id)
        self._changed.notify_all()
