"""A failure that lasts: one line when it begins, one when it is over, and none of its repeats."""

import logging
import threading
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

QUIET_S = 60.0
"""At least so long between two lines about the beginning of the same failure."""


class Begun(NamedTuple):
    """A failure to be logged."""

    lasted_s: float
    unlogged: int
    """How many others began and ended since the last line."""


@dataclass(slots=True)
class FailureNotice:
    """Decides which failures are worth a line. Pure; for one thread at a time.

    One that comes and goes (a gateway that drops each session, a database that answers every other
    statement) is logged once in `QUIET_S`.
    """

    since: float | None = None
    """When the present failure began (monotonic seconds); None: there is none."""
    _is_logged: bool = False
    _quiet_until: float = 0.0
    _unlogged: int = 0

    def failed(self, now: float) -> Begun | None:
        """It failed, perhaps again. Returns what to log, if anything."""
        if self.since is None:
            self.since = now
            self._unlogged += 1
        if self._is_logged or now < self._quiet_until:
            return None
        begun = Begun(now - self.since, self._unlogged - 1)
        self._is_logged, self._quiet_until, self._unlogged = True, now + QUIET_S, 0
        return begun

    def over(self, now: float) -> float | None:
        """It succeeded. Returns how long the failure lasted if that is to be logged, too."""
        since, is_logged = self.since, self._is_logged
        self.since, self._is_logged = None, False
        return now - since if since is not None and is_logged else None


class OngoingFailure:
    """Logs the beginning and the end of what is retried until it succeeds. Any thread may call."""

    def __init__(self, log: logging.Logger, begins: str, ends: str, *, calm_s: float = 0.0) -> None:
        """`begins`: the warning, with a place for the error. `ends`: with a place for the seconds it lasted.

        `calm_s`: so long without a failure, a success ends it; where others fail beside those that succeed.
        """
        self._log = log
        self._begins = begins
        self._ends = ends
        self._calm_s = calm_s
        self._lock = threading.Lock()
        self._notice = FailureNotice()
        self._failed_at = 0.0

    def failed(self, error: object) -> None:
        """It failed; it will be tried again."""
        with self._lock:
            self._failed_at = monotonic()
            begun = self._notice.failed(self._failed_at)
        if begun is not None:
            self._log.warning(self._begins, error)

    def over(self) -> None:
        """It succeeded. Costs next to nothing where nothing had failed."""
        if self._notice.since is None:
            return
        with self._lock:
            now = monotonic()
            if now < self._failed_at + self._calm_s:
                return
            lasted_s = self._notice.over(now)
        if lasted_s is not None:
            self._log.info(self._ends, lasted_s)
