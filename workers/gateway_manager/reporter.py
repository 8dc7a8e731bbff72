"""Writes changes from the registry to the database, in batches, until they are written."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from uuid import UUID

from service.database.engine.notifications import notify_recoveries
from service.database.engine.pool import Database
from service.database.observed.connections import ConnectionRepository
from service.database.observed.reports import ConnectionReport, ContactReport, TransitionReport
from service.database.observed.workers import WorkerIdentity, WorkerRepository
from service.errors import DatabaseError
from service.ongoing_failure import OngoingFailure
from service.threads import BackgroundThread
from workers.gateway_manager.observation import Observation, PendingReport, Transition
from workers.gateway_manager.registry import GatewayRegistry
from workers.gateway_manager.states import REQUESTED

log = logging.getLogger("millgate.status")

_BATCH = 1000
_RETRY_S = 0.25


class StatusReporter:
    """Owns a thread. What cannot be written now stays in the registry and is retried."""

    def __init__(  # noqa: PLR0913 - wired once, by name
        self,
        *,
        database: Database,
        registry: GatewayRegistry,
        worker: Callable[[], WorkerIdentity | None],
        interval_s: float,
        freshness_s: float,
        on_released: Callable[[list[UUID]], None],
        take_recoveries: Callable[[], list[str]],
    ) -> None:
        """`on_released` is called on the reporter's thread with the gateways that are free now.

        `take_recoveries`: returns the groups whose recovery other workers are to be notified of.
        """
        self._database = database
        self._registry = registry
        self._worker = worker
        self._interval_s = interval_s
        self._freshness_s = freshness_s
        self._on_released = on_released
        self._take_recoveries = take_recoveries
        self._stopping = threading.Event()
        self._touched_at = monotonic()
        self._writing = OngoingFailure(
            log,
            begins="cannot write states: %s; they are kept and retried, statuses are out of date;"
            " check PostgreSQL, see docs/runbook.md#reports-delayed",
            ends="states are written again, after %.1f s",
        )
        self._thread = BackgroundThread(self._run, "reporter")

    def start(self) -> None:
        """Starts reporting."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the batch under way."""
        self._stopping.set()
        self._registry.close()
        self._thread.join(timeout_s)

    def report_now(self) -> bool:
        """Writes one batch of changes, if there are any; returns whether it was written.

        For the reporter's own thread, and after `stop` for its caller.
        """
        return self._write(self._registry.take_changes(_BATCH))

    def flush(self) -> bool:
        """Writes everything that is left; returns whether it was written. Only after `stop`."""
        while self._registry.has_changes():
            if not self.report_now():
                return False
        return True

    # From here on: the reporter's own thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._registry.wait_for_changes(self._freshness_s / 4)
            began = monotonic()
            self._touch_when_due()
            is_written = self.report_now()
            if is_written:
                self._notify_recoveries()
            self._stopping.wait(max(0.0, began + self._interval_s - monotonic()) if is_written else _RETRY_S)

    def _touch_when_due(self) -> None:
        now = monotonic()
        if now - self._touched_at < self._freshness_s / 4:
            return
        self._touched_at = now
        self._write(self._registry.take_touched(self._freshness_s))

    def _notify_recoveries(self) -> None:
        """Only a hint: without it, other workers wait for their back-off."""
        if groups := self._take_recoveries():
            with suppress(DatabaseError):
                notify_recoveries(self._database, groups)

    def _write(self, changes: PendingReport) -> bool:
        """Writes a report, or gives it back; returns whether it was written."""
        if not changes:
            return True
        worker = self._worker()
        # The lease may have been lost and acquired again before the registry was reset.
        if worker is None or worker != changes.owner or not self._is_written(worker, changes):
            self._registry.give_back(changes)
            return False
        if released := self._registry.forget_released(changes):
            self._on_released(released)
        return True

    def _is_written(self, worker: WorkerIdentity, changes: PendingReport) -> bool:
        try:
            self._send(worker, changes)
        except DatabaseError as error:
            self._writing.failed(error)
            return False
        self._writing.over()
        return True

    def _send(self, worker: WorkerIdentity, changes: PendingReport) -> None:
        with self._database.transaction() as transaction:
            repository = ConnectionRepository(transaction, worker)
            now = monotonic()
            # First the statement that locks the rows that a reaping worker would free: the history it then
            # writes begins where ours ends.
            if changes.observations:
                repository.report([_report(one, now) for one in changes.observations])
                if any(one.is_finished and one.reason != REQUESTED for one in changes.observations):
                    WorkerRepository(transaction).notify_released()
            if changes.transitions:
                repository.record_transitions([_transition(one, now) for one in changes.transitions])
            if changes.touched:
                repository.touch([_contact(one, now) for one in changes.touched])


def _report(observation: Observation, now: float) -> ConnectionReport:
    reason = observation.reason
    return ConnectionReport(
        gateway_id=observation.gateway_id,
        is_over=observation.is_finished,
        state=observation.state,
        state_age_s=now - observation.state_since,
        reason_code=reason.code if reason else None,
        reason_message=reason.message if reason else None,
        reason_phase=reason.phase if reason else None,
        reason_retryable=reason.retryable if reason else None,
        reason_age_s=_age(observation.reason_at if reason else None, now),
        attempt=observation.attempt,
        next_attempt_in_s=None if observation.next_attempt_at is None else observation.next_attempt_at - now,
        generation=observation.generation,
        connected_age_s=_age(observation.connected_since, now),
        last_connected_age_s=_age(observation.last_connected_at, now),
        last_disconnected_age_s=_age(observation.last_disconnected_at, now),
        last_seen_age_s=_age(observation.last_seen_at, now),
        last_message_age_s=_age(observation.last_message_at, now),
        connects=observation.connects,
        messages_received=observation.messages_received,
        rejected_logins=observation.rejected_logins,
        last_rejected_age_s=_age(observation.last_rejected_at, now),
    )


def _contact(observation: Observation, now: float) -> ContactReport:
    return ContactReport(
        gateway_id=observation.gateway_id,
        last_seen_age_s=_age(observation.last_seen_at, now),
        last_message_age_s=_age(observation.last_message_at, now),
        messages_received=observation.messages_received,
    )


def _transition(transition: Transition, now: float) -> TransitionReport:
    reason = transition.reason
    return TransitionReport(
        gateway_id=transition.gateway_id,
        age_s=now - transition.at,
        from_state=transition.from_state,
        to_state=transition.to_state,
        reason_code=reason.code if reason else None,
        reason_message=reason.message if reason else None,
        reason_phase=reason.phase if reason else None,
        attempt=transition.attempt,
        generation=transition.generation,
    )


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, now - at)
