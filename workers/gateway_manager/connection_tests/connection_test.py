"""A connection test: a short session with a gateway, beside the live one, to see whether a login works."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any
from uuid import UUID

from service.crypto import Sealer
from service.database.observed.connection_tests import ClaimedConnectionTest
from service.errors import SealError
from service.gateway_states import Phase, Reason, ReasonCode
from service.threads import BackgroundThread, NoThreadError
from workers.ctc.session import LoginRejectedError, Session
from workers.gateway_manager.connection.login import Credentials, Login, rejection_reason, without_password
from workers.gateway_manager.connection_tests.steps import StepRecorder
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import ConnectionFailedError, failed
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.progress import AttemptProgress
from workers.gateway_manager.websocket.transport import Transport
from workers.gateway_manager.websocket.waker import InterruptedWaitError, WakerFactory

log = logging.getLogger("millgate.connection_test")

MAX_TEST_S = 10.0
MAX_CLOSE_S = 1.0
INTERNAL_ERROR = Reason(ReasonCode.INTERNAL_ERROR, "Internal error; see the worker's log.", Phase.CLAIM)


@dataclass(frozen=True, slots=True)
class ConnectionTestContext:
    """What all connection tests of a worker share."""

    dialer: Dialer
    wakers: WakerFactory
    sealer: Sealer
    session: SessionSettings
    """Made by `connection_test_settings`; the dialer has to use the same."""


def connection_test_settings(session: SessionSettings) -> SessionSettings:
    """A session's settings with a shorter close: a client is waiting for the result."""
    return replace(session, close_timeout_s=min(session.close_timeout_s, MAX_CLOSE_S))


class ConnectionTest:
    """Owns its thread and its socket. `start` once; then any thread may call the public methods."""

    def __init__(
        self,
        claim: ClaimedConnectionTest,
        context: ConnectionTestContext,
        lease_valid: Callable[[], bool],
        is_stopping: Callable[[], bool],
        on_finished: Callable[["ConnectionTest", dict[str, Any] | None], None],
    ) -> None:
        """`lease_valid`: whether the lease under which it was claimed is valid; once false, false for good.

        `is_stopping`: whether it has to close its session and end; once true, true for good.
        `on_finished` is called last, on the test's own thread, with the result, or with None if
        it was stopped before there was one. Raises OSError when no file descriptor is left.
        """
        self._claim = claim
        self._context = context
        self._lease_valid = lease_valid
        self._on_finished = on_finished
        self._is_stopping = is_stopping
        self._closed = threading.Event()
        self._waker = context.wakers.make()
        self._thread = BackgroundThread(self._run, f"connection-test-{claim.id}")

    @property
    def id(self) -> UUID:
        """The test's row."""
        return self._claim.id

    def start(self) -> None:
        """Starts the thread. Raises NoThreadError; nothing is left open then."""
        try:
            self._thread.start()
        except NoThreadError:
            self._waker.close()
            raise

    def look(self) -> None:
        """Makes it check whether it may go on. If not, it ends within about a second."""
        self._waker.wake()

    def wait_closed(self, timeout_s: float) -> bool:
        """Makes it check its lease, and waits for its socket to close; returns whether it did."""
        self._waker.wake()
        return self._closed.wait(timeout_s)

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread to end; returns whether it did."""
        return self._thread.join(timeout_s)

    # From here on: the test's own thread.

    def _run(self) -> None:
        steps = StepRecorder(monotonic)
        result: dict[str, Any] | None = None
        try:
            self._attempt(steps)
            result = steps.report()
        except InterruptedWaitError:
            pass  # another worker may run it
        except Exception:
            # A crash must be reported as a result, and must not end the worker.
            log.exception(
                "unexpected error in a connection test; its client is told so; report the traceback, see"
                " docs/runbook.md#internal-errors",
                extra={"connection_test": str(self.id)},
            )
            steps.fail(INTERNAL_ERROR)
            result = steps.report()
        finally:
            self._closed.set()
            self._waker.close()
            self._on_finished(self, result)

    def _attempt(self, steps: StepRecorder) -> None:
        session, transport = Session(), None
        time_left_s = min(self._claim.time_left.total_seconds(), MAX_TEST_S)
        deadline = monotonic() + time_left_s
        # Reserve time for the subscription and the close, however slow the gateway was before.
        reserve_s = self._context.session.subscribe_grace_s + self._context.session.close_timeout_s
        progress = AttemptProgress(steps.begin, deadline - min(reserve_s, time_left_s / 2))
        try:
            transport = self._context.dialer.dial(
                self._claim.url,
                self._waker,
                self._is_interrupted,
                progress,
                is_confined=self._claim.password_is_confined,
            )
            self._log_in(transport, session, progress, deadline)
            steps.end()
        except ConnectionFailedError as failure:
            claim = self._claim
            steps.fail(
                without_password(
                    failure.reason, lambda: self._context.sealer.open(claim.sealed_password, claim.sealed_for)
                )
            )
        finally:
            if transport is not None:
                transport.close(session.leave(), self._must_not_send)

    def _log_in(
        self, transport: Transport, session: Session, progress: AttemptProgress, deadline: float
    ) -> None:
        claim = self._claim
        try:
            password = self._context.sealer.open(claim.sealed_password, claim.sealed_for)
        except SealError:
            progress.on_phase(Phase.LOGIN)
            message = "The worker's ENCRYPTION_KEY does not decrypt the password."
            raise failed(ReasonCode.PASSWORD_UNREADABLE, Phase.LOGIN, message, retryable=False) from None
        credentials = Credentials(claim.email, password)
        login = Login(transport, session, self._context.session, credentials)
        try:
            login.log_in(progress)
            goodbye_s = min(self._context.session.close_timeout_s, (deadline - monotonic()) / 2)
            subscribing = AttemptProgress(progress.on_phase, deadline - goodbye_s)
            login.subscribe(subscribing)
            login.await_subscription(subscribing)
        except LoginRejectedError as rejection:
            raise ConnectionFailedError(rejection_reason(rejection, credentials)) from None

    def _is_interrupted(self) -> bool:
        return self._is_stopping() or self._must_not_send()

    def _must_not_send(self) -> bool:
        return not self._lease_valid()
