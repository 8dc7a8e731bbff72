"""A gateway's counters, which tests wait for. Written in the loop, read from any thread."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import Literal

ENTRIES_KEPT = 10_000
Side = Literal["client", "gateway"]


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session (an accepted login) ended.

    code: of the first close frame; 1005 = a close frame without code, 1006 = no close frame.
    unsubscribed: the client had unsubscribed before.
    by: the side that started it.
    """

    code: int
    reason: str
    unsubscribed: bool
    by: Side


class SessionCounters:
    """One gateway's counters. `changed` is shared by all gateways of a site and guards all of them."""

    def __init__(self, changed: Condition) -> None:
        self._changed = changed
        self.attempts = 0
        self.logins = 0
        self.rejected_logins = 0
        self.subscriptions = 0
        self.open_sessions = 0
        self.max_open_sessions = 0
        self.login_times: deque[float] = deque(maxlen=ENTRIES_KEPT)
        self.sessions_closed: deque[SessionEnd] = deque(maxlen=ENTRIES_KEPT)
        self.violations: deque[str] = deque(maxlen=ENTRIES_KEPT)

    def connection_seen(self) -> None:
        """Count a connection, successful or not."""
        with self._changed:
            self.attempts += 1
            self._changed.notify_all()

    def login_accepted(self) -> None:
        """Count a new session."""
        with self._changed:
            self.logins += 1
            self.open_sessions += 1
            self.max_open_sessions = max(self.max_open_sessions, self.open_sessions)
            self.login_times.append(time.monotonic())
            self._changed.notify_all()

    def login_rejected(self) -> None:
        """Count a login with wrong credentials, or one that a fault rejected."""
        with self._changed:
            self.rejected_logins += 1
            self._changed.notify_all()

    def subscribed(self) -> None:
        """Count an accepted `POST_SUB_CHANGES`."""
        with self._changed:
            self.subscriptions += 1
            self._changed.notify_all()

    def session_ended(self, end: SessionEnd) -> None:
        """Count an ended session."""
        with self._changed:
            self.open_sessions -= 1
            self.sessions_closed.append(end)
            self._changed.notify_all()

    def violated(self, what: str) -> None:
        """Record a protocol violation of the client."""
        with self._changed:
            self.violations.append(what)
            self._changed.notify_all()

    def summary(self) -> dict[str, int]:
        """Return all counters. Any thread."""
        with self._changed:
            return {
                "attempts": self.attempts,
                "logins": self.logins,
                "rejected_logins": self.rejected_logins,
                "subscriptions": self.subscriptions,
                "open_sessions": self.open_sessions,
                "max_open_sessions": self.max_open_sessions,
                "sessions_closed": len(self.sessions_closed),
                "violations": len(self.violations),
            }


class Handshakes:
    """Counts a site's connections that have not logged in yet. Written in the loop, read from any thread."""

    def __init__(self) -> None:
        self._under_way: set[int] = set()
        self.most_at_once = 0

    def began(self, connection: object) -> None:
        """Count an accepted connection."""
        self._under_way.add(id(connection))
        self.most_at_once = max(self.most_at_once, len(self._under_way))

    def ended(self, connection: object) -> None:
        """Count it off after its login or loss. No effect the second time."""
        self._under_way.discard(id(connection))


def wait_until(
    changed: Condition, holds: Callable[[], bool], timeout_s: float, explain: Callable[[], str]
) -> None:
    """Wait until `holds` returns true; it is called after each change. Any thread but the loop's.

    Raises TimeoutError with the text of `explain`. `holds` runs under the lock, so it must be quick.
    """
    deadline = time.monotonic() + timeout_s
    with changed:
        while not holds():
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not changed.wait(left_s):
                if holds():
                    return
                raise TimeoutError(f"not so within {timeout_s:g} s: {explain()}")
