"""How long this worker may use its sockets: arithmetic on one monotonic clock, without a database.

The database ends a worker only `duration_s` after the latest of three events (the reaping statement in
service/database/observed/workers.py): the worker's last renewal, the start of the server, and the last
statement on the worker's registered session. The worker learns of each only after it sent the statement:
so a statement sent at t protects the worker until t + duration_s at least, and its sockets are closed
`margin_s` before that.
"""

from dataclasses import dataclass
from enum import Enum

_NEVER = float("-inf")


@dataclass(slots=True)
class LeaseExpiry:
    """One thread writes; any may call `is_valid`. All times are seconds of the same clock."""

    duration_s: float
    margin_s: float
    until: float = _NEVER
    """When the sockets have to be closed, unless a renewal arrives first."""
    _renewed_at: float = _NEVER
    _heard_at: float = _NEVER

    @property
    def protected_at(self) -> float:
        """The latest time of which it is known that the database protected this worker."""
        return max(self._renewed_at, self._heard_at)

    def is_valid(self, now: float) -> bool:
        """Whether the sockets may be used."""
        return now < self.until

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent at this time is written."""
        self._renewed_at = sent_at
        self._update()

    def refused(self, asked_at: float) -> None:
        """The database's address refused a connection at this time: a server there will start later."""
        self._renewed_at = max(self._renewed_at, asked_at)
        self._update()

    def answered(self, sent_at: float) -> None:
        """A statement that was sent at this time was answered, if only by an error.

        It counts on the registered session, and only while that lasts: see `session_ended`.
        """
        self._heard_at = sent_at
        self._update()

    def session_ended(self) -> None:
        """The answers on a session stop counting when it ends."""
        self._heard_at = _NEVER
        self._update()

    def lost(self) -> None:
        """The lease is lost."""
        self._renewed_at = self._heard_at = self.until = _NEVER

    def _update(self) -> None:
        self.until = self.protected_at + self.duration_s - self.margin_s


class Evidence(Enum):
    """What a renewal that was not written says about the database."""

    ANSWERED = "it heard the worker on its registered session"
    REFUSED = "no server is listening"
    NONE = "nothing"


def evidence_of_failure(
    *, is_connected: bool, was_answered: bool, is_registered: bool, tracks_activity: bool, is_refused: bool
) -> Evidence:
    """An answer counts on a registered session, if the server records when that was last active."""
    if not is_connected:
        return Evidence.REFUSED if is_refused else Evidence.NONE
    return Evidence.ANSWERED if was_answered and is_registered and tracks_activity else Evidence.NONE
