"""One gateway, one thread: connect, run a session, back off, until stopped."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from time import monotonic
from uuid import UUID

from service.crypto import Sealer
from service.database.observed.active_gateways import SealedLogin
from service.gateway_states import Phase, Reason, ReasonCode, State
from service.threads import BackgroundThread, NoThreadError
from workers.ctc.session import LoginRejectedError
from workers.gateway_manager.connection.attempt import ConnectionRecord, Ending, after_attempt
from workers.gateway_manager.connection.backoff import (
    AttemptHistory,
    BackoffPolicy,
    delay_s,
    is_quarantined,
)
from workers.gateway_manager.connection.handshake_limiter import SLOT_S, HandshakeLimiter
from workers.gateway_manager.connection.login import (
    Credentials,
    rejection_reason,
    without_password,
)
from workers.gateway_manager.connection.login_comparison import is_same_login
from workers.gateway_manager.connection.outage_log import OutageLog, log_context
from workers.gateway_manager.connection.recovery import groups_of
from workers.gateway_manager.connection.recovery_groups import RecoveryGroups
from workers.gateway_manager.connection.session_loop import SessionLoop
from workers.gateway_manager.registry import GatewayRegistry
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import (
    CONFIGURATION_CHANGED,
    LOGIN_REJECTED_BEFORE,
    ConnectionFailedError,
)
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.progress import AttemptProgress
from workers.gateway_manager.websocket.target import Target
from workers.gateway_manager.websocket.waker import InterruptedWaitError, WakerFactory

log = logging.getLogger("millgate.connection")

_INTERNAL_ERROR = Reason(ReasonCode.INTERNAL_ERROR, "Internal error; see the worker's log.", Phase.SESSION)


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What all connections of a worker share."""

    registry: GatewayRegistry
    limiter: HandshakeLimiter
    dialer: Dialer
    wakers: WakerFactory
    sealer: Sealer
    session: SessionSettings
    backoff: BackoffPolicy
    recovery: RecoveryGroups
    on_finished: Callable[[UUID], None]
    """Called on the connection's own thread, last of all."""
    on_exhausted: Callable[[str], None]
    """Called on a connection's thread, with the error's text, when the system had no socket for it."""


class GatewayConnection:
    """Owns its thread and its socket. `start` once; then any thread may call the public methods."""

    def __init__(
        self, login: SealedLogin, context: ConnectionContext, lease_valid: Callable[[], bool]
    ) -> None:
        """Raises OSError when no file descriptor is left.

        `lease_valid`: whether the lease under which this gateway was claimed is valid. Called before anything
        is sent and after every wait. Once false, it stays false.
        """
        self.id = login.id
        self._login = login
        self._applied = login
        self._context = context
        self._lease_valid = lease_valid
        self._record = ConnectionRecord()
        self._stop_reason: Reason | None = None
        self._is_aborted = False
        self._retry_now = False
        self._outage = OutageLog()
        self._began_at = 0.0
        self._connected_at: float | None = None
        self._handshake_since = inf
        """When the handshake in progress began; infinite without one."""
        self._phase = Phase.RESOLVE
        self._progress = AttemptProgress(self._note_phase)
        self._early_retry_at: float | None = None
        """When to retry because of other gateways that recovered: sooner than the back-off."""
        self._early_retry_used = False
        """It got an early retry as if it were responsive, and has not recovered since."""
        self._waker = context.wakers.make()
        self._thread = BackgroundThread(self._run, f"gateway-{login.device_id}")

    @property
    def login(self) -> SealedLogin:
        """The login that the connection was last assigned."""
        return self._login

    @property
    def is_stopping(self) -> bool:
        """Whether it has been stopped or aborted."""
        return self._stop_reason is not None or self._is_aborted

    def start(self) -> None:
        """Starts the thread. Raises NoThreadError; nothing is left open then."""
        try:
            self._thread.start()
        except NoThreadError:
            self._waker.close()
            raise

    def assign(self, login: SealedLogin) -> None:
        """Assigns another login, or another request to connect; the thread decides what follows."""
        if login.connect_requested_at != self._login.connect_requested_at:
            self._retry_now = True
        self._login = login
        self._waker.wake()

    def stop(self, reason: Reason) -> None:
        """Unsubscribes, closes and ends, within `close_timeout_s`."""
        self._stop_reason = reason
        self._waker.wake()

    def abort(self) -> None:
        """Closes the socket immediately without sending anything, and ends: the lease is lost."""
        self._is_aborted = True
        self._waker.wake()

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread to end; returns whether it did."""
        return self._thread.join(timeout_s)

    # The connection's own thread.

    def _run(self) -> None:
        try:
            self._resume()
            while not self.is_stopping:
                retry_in_s = self._attempt()
                if retry_in_s is not None:
                    self._pause(retry_in_s)
            self._settle()
        except InterruptedWaitError:
            pass  # the lease was lost: nothing more may be sent
        finally:
            self._outage.released(self._applied, self._stop_reason)
            self._context.recovery.forget(self.id)
            self._context.registry.finish(self.id, self._stop_reason)
            self._waker.close()
            self._context.on_finished(self.id)

    def _resume(self) -> None:
        """Continues a previous worker's back-off, if its login was rejected."""
        before = self._context.registry.find(self.id)
        if before is None:
            return
        self._record = ConnectionRecord(is_unresponsive=before.was_failing)
        if not before.rejected_logins or before.last_rejected_at is None:
            return
        rejected = before.rejected_logins
        self._record = replace(self._record, history=AttemptHistory(failures=rejected, rejections=rejected))
        elapsed_s = monotonic() - before.last_rejected_at
        if (
            wait_s := delay_s(self._context.backoff, self._record.history, random_fraction=0) - elapsed_s
        ) > 0:
            self._enter_backoff(LOGIN_REJECTED_BEFORE, wait_s)
            self._pause(wait_s)

    def _attempt(self) -> float | None:
        """One attempt, and its session. Returns seconds until the next; None: check for it immediately."""
        self._applied = self._login
        self._retry_now, self._early_retry_at, self._handshake_since = False, None, inf
        self._context.recovery.queued(self.id)
        self._began_at, self._connected_at = monotonic(), None
        loop = None
        try:
            with self._handshake_slot():
                loop = self._open()
                self._transition(State.AUTHENTICATING)
                login = loop.log_in(self._progress)
                self._on_logged_in()
            # Without the slot: most gateways do not answer the subscription.
            login.await_subscription()
            self._on_connected(loop)
            loop.run(self._on_activity)
        except InterruptedWaitError:
            if self._session_interrupted():
                self._record = replace(self._record, is_unresponsive=False)
                self._close_session(loop)
                return None
            if self._handshake_since == inf:
                return inf  # an early retry was requested while it waited for a slot
            reason = self._abandoned_reason()
            self._end_attempt(Ending.ABANDONED)
        except LoginRejectedError as rejection:
            self._end_attempt(Ending.REJECTED)
            reason = rejection_reason(rejection, self._credentials())
        except ConnectionFailedError as failure:
            self._end_attempt(Ending.FAILED)
            reason = without_password(failure.reason, lambda: self._credentials().password)
            if reason.code is ReasonCode.NO_CAPACITY:
                self._context.on_exhausted(reason.message)
        except Exception:
            # It must neither end the thread silently nor affect other gateways.
            log.exception(
                "unexpected error in the session of gateway %s; it is retried, others are not affected;"
                " report the traceback, see docs/runbook.md#internal-errors",
                self._applied.device_id,
                extra=log_context(self._applied),
            )
            self._end_attempt(Ending.CRASHED)
            reason = _INTERNAL_ERROR
        finally:
            if loop is not None:
                loop.abort()
        return self._on_failure(reason)

    @contextmanager
    def _handshake_slot(self) -> Iterator[None]:
        failures = max(1, self._record.history.failures) if self._record.is_unresponsive else 0
        with self._context.limiter.slot(self._waker, self._queueing_interrupted, failures):
            self._context.recovery.attempting(self.id)
            self._handshake_since = self._began_at = monotonic()
            yield

    def _open(self) -> SessionLoop:
        self._transition(State.CONNECTING)
        transport = self._context.dialer.dial(
            self._applied.url,
            self._waker,
            self._handshake_interrupted,
            self._progress,
            is_confined=self._applied.password_is_confined,
        )
        return SessionLoop(transport, self._context.session, self._credentials)

    def _end_attempt(self, ending: Ending) -> None:
        now = monotonic()
        self._record = after_attempt(
            self._context.backoff,
            self._record,
            ending,
            outlasted_slot=now - self._began_at >= SLOT_S,
            session_s=None if self._connected_at is None else now - self._connected_at,
        )

    def _on_logged_in(self) -> None:
        self._record = replace(self._record, is_unresponsive=False)
        self._early_retry_used, self._handshake_since = False, inf
        self._context.recovery.recovered(self.id, was_stable=self._record.was_stable)

    def _on_connected(self, loop: SessionLoop) -> None:
        self._connected_at = monotonic()
        self._record = replace(self._record, history=AttemptHistory(failures=self._record.history.failures))
        self._on_activity(loop.heard_at, is_message=False)
        self._transition(State.CONNECTED)
        self._outage.back(self._applied)

    def _on_activity(self, at: float, *, is_message: bool) -> None:
        self._context.registry.record_activity(self.id, message=is_message, at=at)

    def _on_failure(self, reason: Reason) -> float:
        """Records and logs the failure; returns the seconds until the next attempt."""
        policy = self._context.backoff
        retry_in_s = delay_s(policy, self._record.history, random.random())  # noqa: S311 - no secret
        retry_in_s = self._retry_with_group(reason, retry_in_s)
        self._enter_backoff(reason, retry_in_s)
        session_s = None if self._connected_at is None else monotonic() - self._connected_at
        self._outage.down(self._applied, reason, retry_in_s, session_s)
        return retry_in_s

    def _retry_with_group(self, reason: Reason, retry_in_s: float) -> float:
        """Seconds until the next attempt: sooner if gateways that share the reason are recovering."""
        host = Target.of(self._applied.url).host
        groups = groups_of(host, self._applied.factory_id, reason.code)
        if not groups or self._record.history.rejections:
            self._context.recovery.forget(self.id)
            return retry_in_s
        now = monotonic()
        return self._context.recovery.failed(self.id, groups, now + retry_in_s, self._retry_early) - now

    def _abandoned_reason(self) -> Reason:
        code = ReasonCode.CONNECT_TIMEOUT if self._state() is State.CONNECTING else ReasonCode.LOGIN_TIMEOUT
        message = "No answer yet, but other gateways of the site recovered: retrying."
        return Reason(code, message, self._phase)

    def _note_phase(self, phase: Phase) -> None:
        self._phase = phase

    def _retry_early(self, at: float) -> None:
        """Retries at this time, because another gateway recovered. Called on that gateway's thread."""
        if self._early_retry_at is None or at < self._early_retry_at:
            self._early_retry_at = at
            self._waker.wake()

    def _enter_backoff(self, reason: Reason, retry_in_s: float) -> None:
        is_rare = is_quarantined(self._context.backoff, self._record.history)
        self._transition(State.AUTH_FAILED if is_rare else State.RETRYING, reason, retry_in_s=retry_in_s)

    def _close_session(self, loop: SessionLoop | None) -> None:
        """Closes what an interruption ended: a session with a close frame, an attempt without."""
        if self._must_not_send():
            raise InterruptedWaitError
        state = self._state()
        if loop is not None and state in (State.AUTHENTICATING, State.CONNECTED):
            self._transition(State.DISCONNECTING, self._close_reason())
            loop.close(self._must_not_send)
            self._transition(State.DISCONNECTED, self._close_reason())
        elif state is State.CONNECTING:
            self._transition(State.DISCONNECTED, self._close_reason())

    def _pause(self, seconds: float) -> None:
        """Waits for the next attempt. A new login or a request to connect resets the failures."""
        until = monotonic() + seconds
        try:
            while not self._wait_until(until):
                early_retry_at, self._early_retry_at = self._early_retry_at, None
                if early_retry_at is not None and early_retry_at < until:
                    until = early_retry_at
                    if not self._early_retry_used:
                        self._record = replace(self._record, is_unresponsive=False)
                    self._early_retry_used = True
                    self._context.registry.reschedule(self.id, until)
        except InterruptedWaitError:
            if self._must_not_send():
                raise
            if not self.is_stopping:
                self._record = ConnectionRecord(was_stable=self._record.was_stable)

    def _wait_until(self, until: float) -> bool:
        """Waits until then; returns False if an early retry was requested in between."""
        try:
            self._waker.wait(until, lambda: self._early_retry_at is not None or self._pause_interrupted())
        except InterruptedWaitError:
            if self._pause_interrupted():
                raise
            return False
        return True

    def _settle(self) -> None:
        if self._must_not_send():
            raise InterruptedWaitError
        if self._state() is not State.DISCONNECTED:
            self._transition(State.DISCONNECTED, self._close_reason())

    def _session_interrupted(self) -> bool:
        """Whether an attempt or a session has to end. A repeated request to connect does not end one."""
        return self._must_end() or not self._is_applied(self._login)

    def _handshake_interrupted(self) -> bool:
        """An attempt that hangs ends when other gateways of its site recover: it began during the outage."""
        hangs = self._early_retry_at is not None and monotonic() >= self._handshake_since + SLOT_S
        return hangs or self._session_interrupted()

    def _queueing_interrupted(self) -> bool:
        return self._early_retry_at is not None or self._session_interrupted()

    def _pause_interrupted(self) -> bool:
        """A stored login, even the same one, is tried immediately."""
        is_new = self._login.generation != self._applied.generation
        return self._retry_now or is_new or self._must_end()

    def _must_end(self) -> bool:
        return self.is_stopping or not self._lease_valid()

    def _is_applied(self, login: SealedLogin) -> bool:
        """Whether the current attempt or session uses this login.

        A password that was stored again looks different until it is decrypted; it is then adopted.
        """
        if login.generation == self._applied.generation:
            return True
        if not is_same_login(login, self._applied, self._context.sealer):
            return False
        self._applied = login
        self._context.registry.adopt(self.id, login.generation)
        return True

    def _must_not_send(self) -> bool:
        return self._is_aborted or not self._lease_valid()

    def _close_reason(self) -> Reason:
        return CONFIGURATION_CHANGED if self._stop_reason is None else self._stop_reason

    def _transition(
        self, state: State, reason: Reason | None = None, *, retry_in_s: float | None = None
    ) -> None:
        self._context.registry.transition(
            self.id,
            state,
            reason,
            generation=self._applied.generation,
            attempt=self._attempt_number(state),
            retry_in_s=retry_in_s,
            rejected_logins=self._record.history.rejections,
        )

    def _attempt_number(self, state: State) -> int:
        """Counts consecutive attempts since the last stable session."""
        if state in (State.DISCONNECTING, State.DISCONNECTED):
            return 0
        return self._record.history.failures + (state not in (State.RETRYING, State.AUTH_FAILED))

    def _state(self) -> State:
        observation = self._context.registry.find(self.id)
        return State.DISCONNECTED if observation is None else observation.state

    def _credentials(self) -> Credentials:
        password = self._context.sealer.open(self._applied.sealed_password, self._applied.id)
        return Credentials(self._applied.email, password)
