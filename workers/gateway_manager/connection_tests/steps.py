"""The steps of a connection test and their durations. Pure, except for the clock it is given."""

from collections.abc import Callable
from typing import Any

from service.gateway_states import Phase, Reason

STEPS = {
    Phase.RESOLVE: "resolve",
    Phase.TCP: "connect",
    Phase.TLS: "tls",
    Phase.UPGRADE: "upgrade",
    Phase.LOGIN: "login",
    Phase.SUBSCRIBE: "subscribe",
}
"""The steps in order, with their names in the API."""


class StepRecorder:
    """Records which steps begin, end and fail, and how long they take. One thread at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds."""
        self._clock = clock
        self._durations_ms: dict[Phase, float] = {}
        self._current: Phase | None = None
        self._began_at = clock()
        self._failure: Reason | None = None

    def begin(self, phase: Phase) -> None:
        """The next step begins; the one before it succeeded."""
        self.end()
        self._current = phase

    def end(self) -> None:
        """The current step succeeded."""
        now = self._clock()
        if self._current is not None:
            self._durations_ms[self._current] = round((now - self._began_at) * 1000, 3)
        self._current, self._began_at = None, now

    def fail(self, reason: Reason) -> None:
        """The current step failed (or the first one, before any began). It is the last."""
        failed_in = self._current or Phase.RESOLVE
        self._current = failed_in
        self.end()
        self._current, self._failure = failed_in, reason

    def report(self) -> dict[str, Any]:
        """All steps, and the failure if there is one, as the API reads it."""
        return {
            "steps": [self._step(phase) for phase in STEPS],
            "failure": None
            if self._failure is None or self._current is None
            else {
                "step": STEPS[self._current],
                "code": self._failure.code.value,
                "message": self._failure.message,
                "retryable": self._failure.retryable,
            },
        }

    def _step(self, phase: Phase) -> dict[str, Any]:
        status = "skipped" if phase not in self._durations_ms else "ok"
        if phase is self._current:
            status = "failed"
        return {"name": STEPS[phase], "status": status, "duration_ms": self._durations_ms.get(phase)}
