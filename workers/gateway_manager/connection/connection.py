"""One gateway, one thread: connect, log in, subscribe, receive, back off; until told to stop."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from uuid import UUID

from service.crypto import Sealer
from service.database.observed.active_gateways import SealedLogin
from service.errors import SealError
from service.gateway_states import Phase, Reason, ReasonCode, State
from service.threads import BackgroundThread, NoThreadError
from workers.ctc.session import LoginRejectedError, Session
from workers.gateway_manager.connection.backoff import (
    AttemptHistory,
    BackoffPolicy,
    after_failure,
    after_rejection,
    delay_s,
    is_quarantined,
)
from workers.gateway_manager.connection.handshake_limiter import SLOT_S, HandshakeLimiter
from workers.gateway_manager.connection.keepalive import SessionClock
from workers.gateway_manager.connection.login import (
    Credentials,
    Login,
    feed,
    rejection_reason,
    without_password,
)
from workers.gateway_manager.connection.login_comparison import is_same_login
from workers.gateway_manager.connection.recovery import groups_of
from workers.gateway_manager.connection.recovery_groups import RecoveryGroups
from workers.gateway_manager.registry import GatewayRegistry
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import (
    CONFIGURATION_CHANGED,
    LOGIN_REJECTED_BEFORE,
    ConnectionFailedError,
    failed,
)
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.progress import AttemptProgress
from workers.gateway_manager.websocket.target import Target
from workers.gateway_manager.websocket.transport import Kind, Transport
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
    """Told from the connection's own thread, as its last act."""
    on_exhausted: Callable[[str], None]
    """Told from a connection's thread, in words, when the system had no socket for it."""


class GatewayConnection:
    """Owns its thread and its socket. `start` once; then any thread may call the public methods."""

    def __init__(
        self, login: SealedLogin, context: ConnectionContext, lease_valid: Callable[[], bool]
    ) -> None:
        """Raises OSError where the system has no file left for it.

        `lease_valid`: whether the lease runs under which this gateway was claimed.

        Asked before anything is sent, and after every wait. Once false, it is false for good.
        """
        self.id = login.id
        self._login = login
        self._applied = login
        self._context = context
        self._lease_valid = lease_valid
        self._history = AttemptHistory()
        self._stop_reason: Reason | None = None
        self._is_aborted = False
        self._retry_now = False
        self._warned = False
        self._is_unresponsive = False
        """The last attempt outlasted its slot and failed, or another worker's did: it may hang again."""
        self._was_stable = True
        """The last session, if there was any, lasted."""
        self._handshake_since = inf
        """When the handshake began; infinite without one."""
        self._phase = Phase.RESOLVE
        self._progress = AttemptProgress(self._note_phase)
        self._early_retry_at: float | None = None
        """When to try, by gateways that are back: sooner than by the back-off."""
        self._early_retry_used = False
        """It was called though it may hang, and has not been back since."""
        self._waker = context.wakers.make()
        self._thread = BackgroundThread(self._run, f"gateway-{login.device_id}")

    @property
    def login(self) -> SealedLogin:
        """What the connection was last told to log in with."""
        return self._login

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop_reason is not None or self._is_aborted

    def start(self) -> None:
        """Starts the thread. Raises NoThreadError; nothing is left open then."""
        try:
            self._thread.start()
        except NoThreadError:
            self._waker.close()
            raise

    def assign(self, login: SealedLogin) -> None:
        """Another login, or another request to connect: the thread sees for itself what that means."""
        if login.connect_requested_at != self._login.connect_requested_at:
            self._retry_now = True
        self._login = login
        self._waker.wake()

    def stop(self, reason: Reason) -> None:
        """Unsubscribe, close and end, within `close_timeout_s`."""
        self._stop_reason = reason
        self._waker.wake()

    def abort(self) -> None:
        """Close the socket without a word, now, and end: the right to it is lost."""
        self._is_aborted = True
        self._waker.wake()

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread's end; tells whether it came."""
        return self._thread.join(timeout_s)

    # From here on: the connection's own thread.

    def _run(self) -> None:
        try:
            self._resume()
            while not self.is_stopping:
                retry_in_s = self._attempt()
                if retry_in_s is not None:
                    self._pause(retry_in_s)
            self._settle()
        except InterruptedWaitError:
            pass  # the lease was lost: nothing more is ours to say
        finally:
            self._context.recovery.forget(self.id)
            self._context.registry.finish(self.id, self._stop_reason)
            self._waker.close()
            self._context.on_finished(self.id)

    def _resume(self) -> None:
        """Goes on where the worker stood that held this gateway before, if its login was rejected."""
        before = self._context.registry.find(self.id)
        self._is_unresponsive = before is not None and before.was_failing
        if before is None or not before.rejected_logins or before.last_rejected_at is None:
            return
        self._history = AttemptHistory(failures=before.rejected_logins, rejections=before.rejected_logins)
        elapsed_s = monotonic() - before.last_rejected_at
        if (wait_s := delay_s(self._context.backoff, self._history, random_fraction=0) - elapsed_s) > 0:
            self._enter_backoff(LOGIN_REJECTED_BEFORE, wait_s)
            self._pause(wait_s)

    def _attempt(self) -> float | None:
        """One attempt and the session that comes of it. Seconds to wait for the next; None: look at once."""
        self._applied = self._login
        self._retry_now, self._early_retry_at, self._handshake_since = False, None, inf
        self._context.recovery.queued(self.id)
        began_at, connected_at = monotonic(), None
        session, transport = Session(), None
        try:
            unresponsive_failures = max(1, self._history.failures) if self._is_unresponsive else 0
            with self._context.limiter.slot(self._waker, self._queueing_interrupted, unresponsive_failures):
                self._context.recovery.attempting(self.id)
                self._handshake_since = began_at = monotonic()
                self._transition(State.CONNECTING)
                transport = self._context.dialer.dial(
                    self._applied.url,
                    self._waker,
                    self._handshake_interrupted,
                    self._progress,
                    is_confined=self._applied.password_is_confined,
                )
                self._transition(State.AUTHENTICATING)
                login = self._log_in(transport, session)
                self._is_unresponsive = self._early_retry_used = False
                self._handshake_since = inf
                self._context.recovery.recovered(self.id, was_stable=self._was_stable)
            # Most gateways say nothing now: who waits for that shall not keep others waiting.
            login.await_subscription()
            connected_at = monotonic()
            self._on_connected(transport.heard_at)
            self._run_session(transport, session)
        except InterruptedWaitError:
            if self._session_interrupted():
                self._is_unresponsive = False
                self._close_session(transport, session)
                return None
            if self._handshake_since == inf:
                return inf  # called while it waited for its turn: that ends the pause
            self._history = after_failure(self._context.backoff, self._history, 0)
            reason = self._hung_reason()
        except LoginRejectedError as rejection:
            reason = self._on_rejected_login(rejection, connected_at)
        except ConnectionFailedError as failure:
            self._is_unresponsive = connected_at is None and monotonic() - began_at >= SLOT_S
            self._count_failure(connected_at)
            reason = without_password(failure.reason, lambda: self._credentials().password)
            if reason.code is ReasonCode.NO_CAPACITY:
                self._context.on_exhausted(reason.message)
        except Exception:
            # A thread must not die silently, and one gateway's trouble must stay its own.
            log.exception("gateway session failed by a mistake of ours", extra=self._log_context())
            self._history = after_failure(self._context.backoff, self._history, 0)
            reason = _INTERNAL_ERROR
        finally:
            if transport is not None:
                transport.abort()
        return self._on_failure(reason)

    def _log_in(self, transport: Transport, session: Session) -> Login:
        """Logs in, within the deadline, and asks for the subscription. Raises on every failure."""
        try:
            credentials = self._credentials()
        except SealError:
            message = "The stored password does not open with this ENCRYPTION_KEY: store it anew."
            raise failed(ReasonCode.PASSWORD_UNREADABLE, Phase.LOGIN, message, retryable=False) from None
        login = Login(transport, session, self._context.session, credentials)
        login.log_in(self._progress)
        login.subscribe(self._progress)
        return login

    def _run_session(self, transport: Transport, session: Session) -> None:
        """Receives and pings until something ends the session; always raises."""
        settings = self._context.session
        clock = SessionClock.starting(settings, monotonic(), random.random())  # noqa: S311 - no secret
        clock.last_seen_at = transport.heard_at
        while True:
            received = transport.receive(clock.wake_at, Phase.SESSION)
            now = monotonic()
            if received is not None:
                clock.last_seen_at = transport.heard_at
                is_message = received.kind is Kind.MESSAGE
                self._context.registry.record_activity(self.id, message=is_message, at=transport.heard_at)
                if is_message:
                    feed(session, received.payload, Phase.SESSION, self._credentials)
            if now >= clock.silent_at:
                limit_s = settings.liveness_timeout_s
                message = f"Neither a frame nor a pong came for {limit_s:g} s."
                if transport.is_lagging:
                    message = f"What the gateway sends arrives over {limit_s:g} s late: it sends too much."
                raise failed(ReasonCode.PING_TIMEOUT, Phase.SESSION, message)
            if clock.ping_is_due(now):
                transport.ping()

    def _on_connected(self, heard_at: float) -> None:
        self._history = AttemptHistory(failures=self._history.failures)
        self._context.registry.record_activity(self.id, message=False, at=heard_at)
        self._transition(State.CONNECTED)
        level = logging.INFO if self._warned else logging.DEBUG
        log.log(level, "gateway connected", extra=self._log_context())
        self._warned = False

    def _on_rejected_login(self, rejection: LoginRejectedError, connected_at: float | None) -> Reason:
        if connected_at is None:
            self._history = after_rejection(self._history)
        else:
            # The credentials had worked: a gateway that needs the room for others says the same.
            self._count_failure(connected_at)
        return rejection_reason(rejection, self._credentials())

    def _count_failure(self, connected_at: float | None) -> None:
        lasted_s = 0.0 if connected_at is None else monotonic() - connected_at
        if connected_at is not None:
            self._was_stable = lasted_s >= self._context.backoff.good_after_s
        self._history = after_failure(self._context.backoff, self._history, lasted_s)

    def _on_failure(self, reason: Reason) -> float:
        """Writes the failure down; returns the seconds until the next attempt."""
        policy = self._context.backoff
        retry_in_s = delay_s(policy, self._history, random.random())  # noqa: S311 - no secret
        retry_in_s = self._retry_with_group(reason, retry_in_s)
        self._enter_backoff(reason, retry_in_s)
        log.log(
            logging.DEBUG if self._warned else logging.WARNING,
            "gateway down: %s Next attempt in %.1f s; its repeats are logged at level debug.",
            reason.message,
            retry_in_s,
            extra={**self._log_context(), "reason": reason.code.value, "phase": reason.phase.value},
        )
        self._warned = True
        return retry_in_s

    def _retry_with_group(self, reason: Reason, retry_in_s: float) -> float:
        """Seconds until the next attempt: sooner where gateways that share the reason are coming back."""
        host = Target.of(self._applied.url).host
        groups = groups_of(host, self._applied.factory_id, reason.code)
        if not groups or self._history.rejections:
            self._context.recovery.forget(self.id)
            return retry_in_s
        now = monotonic()
        return self._context.recovery.failed(self.id, groups, now + retry_in_s, self._retry_early) - now

    def _hung_reason(self) -> Reason:
        code = ReasonCode.CONNECT_TIMEOUT if self._state() is State.CONNECTING else ReasonCode.LOGIN_TIMEOUT
        message = "The gateway had not answered yet when others of its site came back: it is tried again."
        return Reason(code, message, self._phase)

    def _note_phase(self, phase: Phase) -> None:
        self._phase = phase

    def _retry_early(self, at: float) -> None:
        """Another gateway is back: try at this time. On that gateway's thread."""
        if self._early_retry_at is None or at < self._early_retry_at:
            self._early_retry_at = at
            self._waker.wake()

    def _enter_backoff(self, reason: Reason, retry_in_s: float) -> None:
        is_rare = is_quarantined(self._context.backoff, self._history)
        self._transition(State.AUTH_FAILED if is_rare else State.RETRYING, reason, retry_in_s=retry_in_s)

    def _close_session(self, transport: Transport | None, session: Session) -> None:
        """An interruption ended the session, or the way to it: say goodbye where somebody listens."""
        if self._must_not_send():
            raise InterruptedWaitError
        state = self._state()
        if transport is not None and state in (State.AUTHENTICATING, State.CONNECTED):
            self._transition(State.DISCONNECTING, self._close_reason())
            transport.close(session.leave(), self._must_not_send)
            self._transition(State.DISCONNECTED, self._close_reason())
        elif state is State.CONNECTING:
            self._transition(State.DISCONNECTED, self._close_reason())

    def _pause(self, seconds: float) -> None:
        """Waits for the next attempt. A new login or a request starts the count of failures anew."""
        until = monotonic() + seconds
        try:
            while not self._wait_until(until):
                early_retry_at, self._early_retry_at = self._early_retry_at, None
                if early_retry_at is not None and early_retry_at < until:
                    until, self._is_unresponsive = (
                        early_retry_at,
                        self._is_unresponsive and self._early_retry_used,
                    )
                    self._early_retry_used = True
                    self._context.registry.reschedule(self.id, until)
        except InterruptedWaitError:
            if self._must_not_send():
                raise
            if not self.is_stopping:
                self._history, self._is_unresponsive = AttemptHistory(), False

    def _wait_until(self, until: float) -> bool:
        """Waits until then; False: something was heard from another gateway meanwhile."""
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
        """Whether an attempt or a session has to end: not for a mere wish to be connected."""
        return self._must_end() or not self._is_applied(self._login)

    def _handshake_interrupted(self) -> bool:
        """What hangs is ended when others of its site are back: it began while they were away."""
        hangs = self._early_retry_at is not None and monotonic() >= self._handshake_since + SLOT_S
        return hangs or self._session_interrupted()

    def _queueing_interrupted(self) -> bool:
        return self._early_retry_at is not None or self._session_interrupted()

    def _pause_interrupted(self) -> bool:
        """Whoever stored a login, be it the same one, wants to know at once whether it works."""
        is_new = self._login.generation != self._applied.generation
        return self._retry_now or is_new or self._must_end()

    def _must_end(self) -> bool:
        return self.is_stopping or not self._lease_valid()

    def _is_applied(self, login: SealedLogin) -> bool:
        """Whether the attempt or session under way is one with this login.

        The same password, stored once more, looks another one until it is opened: it is taken over as it is.
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
            rejected_logins=self._history.rejections,
        )

    def _attempt_number(self, state: State) -> int:
        """Counts attempts in a row since the last good session."""
        if state in (State.DISCONNECTING, State.DISCONNECTED):
            return 0
        return self._history.failures + (state not in (State.RETRYING, State.AUTH_FAILED))

    def _state(self) -> State:
        observation = self._context.registry.find(self.id)
        return State.DISCONNECTED if observation is None else observation.state

    def _credentials(self) -> Credentials:
        password = self._context.sealer.open(self._applied.sealed_password, self._applied.id)
        return Credentials(self._applied.email, password)

    def _log_context(self) -> dict[str, str]:
        return {"gateway": str(self.id), "gateway_id": self._applied.device_id}
