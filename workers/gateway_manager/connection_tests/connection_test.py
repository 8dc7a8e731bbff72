"""One trial: a short session with a gateway, beside the live one, to see whether a login works."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any
from uuid import UUID

from service.crypto import Sealer
from service.database.observed.connection_tests import ClaimedTrial
from service.errors import SealError
from service.gateway_states import Phase, Reason, ReasonCode
from service.threads import BackgroundThread, NoThreadError
from workers.ctc.session import LoginRejectedError, Session
from workers.gateway_manager.connection.login import Credentials, SignIn, rejected_login, without_password
from workers.gateway_manager.connection_tests.steps import StepRecorder
from workers.gateway_manager.settings import SessionSettings
from workers.gateway_manager.states import ConnectionFailedError, failed
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.progress import Watch
from workers.gateway_manager.websocket.transport import Transport
from workers.gateway_manager.websocket.waker import InterruptedWaitError, WakerFactory

log = logging.getLogger("millgate.connection_test")

LONGEST_TRIAL_S = 10.0
LONGEST_GOODBYE_S = 1.0
INTERNAL_ERROR = Reason(
    ReasonCode.INTERNAL_ERROR, "A mistake of ours; the worker's log has more.", Phase.CLAIM
)


@dataclass(frozen=True, slots=True)
class TrialSurroundings:
    """What all trials of a worker share."""

    dialer: Dialer
    wakers: WakerFactory
    sealer: Sealer
    session: SessionSettings
    """Those of `trial_settings`, which the dialer has to have, too."""


def trial_settings(session: SessionSettings) -> SessionSettings:
    """A session's settings, but for the goodbye: somebody waits for its end."""
    return replace(session, close_timeout_s=min(session.close_timeout_s, LONGEST_GOODBYE_S))


class Trial:
    """Owns its thread and its socket. `start` once; then any thread may call the public methods."""

    def __init__(
        self,
        order: ClaimedTrial,
        surroundings: TrialSurroundings,
        may_act: Callable[[], bool],
        is_stopping: Callable[[], bool],
        on_finished: Callable[["Trial", dict[str, Any] | None], None],
    ) -> None:
        """`may_act`: whether the lease runs under which it was claimed; once false, false for good.

        `is_stopping`: whether it is to say goodbye and end; once true, true for good.
        `on_finished` is called on the trial's own thread, as its last act, with what came of it; with None if
        it was stopped before anything did. Raises OSError when there are no files left.
        """
        self._order = order
        self._around = surroundings
        self._may_act = may_act
        self._on_finished = on_finished
        self._is_stopping = is_stopping
        self._closed = threading.Event()
        self._waker = surroundings.wakers.make()
        self._thread = BackgroundThread(self._run, f"trial-{order.id}")

    @property
    def id(self) -> UUID:
        """The trial's row."""
        return self._order.id

    def start(self) -> None:
        """Starts the thread. Raises NoThreadError; nothing is left open then."""
        try:
            self._thread.start()
        except NoThreadError:
            self._waker.close()
            raise

    def look(self) -> None:
        """Makes it look whether it may go on. It ends within a second or so if not."""
        self._waker.wake()

    def wait_closed(self, timeout_s: float) -> bool:
        """Makes it look whether it may act still; waits for its socket to close, tells whether it did."""
        self._waker.wake()
        return self._closed.wait(timeout_s)

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread's end; tells whether it came."""
        return self._thread.join(timeout_s)

    # From here on: the trial's own thread.

    def _run(self) -> None:
        steps = StepRecorder(monotonic)
        result: dict[str, Any] | None = None
        try:
            self._attempt(steps)
            result = steps.report()
        except InterruptedWaitError:
            pass  # another worker may do it
        except Exception:
            # A thread must not die silently, and one gateway's trouble must stay its own.
            log.exception("a trial failed by a mistake of ours", extra={"trial": str(self.id)})
            steps.fail(INTERNAL_ERROR)
            result = steps.report()
        finally:
            self._closed.set()
            self._waker.close()
            self._on_finished(self, result)

    def _attempt(self, steps: StepRecorder) -> None:
        session, transport = Session(), None
        time_left_s = min(self._order.time_left.total_seconds(), LONGEST_TRIAL_S)
        over_at = monotonic() + time_left_s
        # The subscription and the goodbye get their time, too, however slow the gateway was before.
        reserve_s = self._around.session.subscribe_grace_s + self._around.session.close_timeout_s
        way = Watch(steps.begin, over_at - min(reserve_s, time_left_s / 2))
        try:
            transport = self._around.dialer.dial(
                self._order.url,
                self._waker,
                self._is_interrupted,
                way,
                is_confined=self._order.password_is_confined,
            )
            self._sign_in(transport, session, way, over_at)
            steps.end()
        except ConnectionFailedError as failure:
            order = self._order
            steps.fail(
                without_password(
                    failure.reason, lambda: self._around.sealer.open(order.sealed_password, order.sealed_for)
                )
            )
        finally:
            if transport is not None:
                transport.leave(session.leave(), self._must_be_silent)

    def _sign_in(self, transport: Transport, session: Session, way: Watch, over_at: float) -> None:
        order = self._order
        try:
            password = self._around.sealer.open(order.sealed_password, order.sealed_for)
        except SealError:
            way.on_phase(Phase.LOGIN)
            message = "The password does not open with the worker's ENCRYPTION_KEY."
            raise failed(ReasonCode.PASSWORD_UNREADABLE, Phase.LOGIN, message, retryable=False) from None
        credentials = Credentials(order.email, password)
        sign_in = SignIn(transport, session, self._around.session, credentials)
        try:
            sign_in.log_in(way)
            goodbye_s = min(self._around.session.close_timeout_s, (over_at - monotonic()) / 2)
            subscribing = Watch(way.on_phase, over_at - goodbye_s)
            sign_in.subscribe(subscribing)
            sign_in.await_consent(subscribing)
        except LoginRejectedError as rejection:
            raise ConnectionFailedError(rejected_login(rejection, credentials)) from None

    def _is_interrupted(self) -> bool:
        return self._is_stopping() or self._must_be_silent()

    def _must_be_silent(self) -> bool:
        return not self._may_act()
