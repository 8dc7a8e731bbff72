"""How long this worker may use its sockets: arithmetic on one monotonic clock, without a database.

The database ends a worker only when three things have been over for `duration_s` (BURY in
service/database/observed/workers.py): the worker's last renewal, the start of the server, and the last
statement that it heard on the session that stands for the worker. Each has a counterpart that the worker
sees, and sees later than it was sent: so what was sent at t keeps the worker from being ended until
t + duration_s at least, and its sockets are closed `margin_s` before that.
"""

from dataclasses import dataclass

_NEVER = float("-inf")


@dataclass(slots=True)
class Hold:
    """Written by one thread; any may ask `is_running`. All times are seconds of the same clock."""

    duration_s: float
    margin_s: float
    until: float = _NEVER
    """When the sockets have to be closed, unless something is heard before."""
    _lasting_at: float = _NEVER
    _heard_at: float = _NEVER

    def is_running(self, now: float) -> bool:
        """Whether the sockets may be used."""
        return now < self.until

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent then is written."""
        self._lasting_at = sent_at
        self._count()

    def refused(self, asked_at: float) -> None:
        """Nobody listened at the database's address then: whoever comes back will start after that."""
        self._lasting_at = max(self._lasting_at, asked_at)
        self._count()

    def answered(self, sent_at: float) -> None:
        """A statement that was sent then was answered, if only by an error.

        On the session that stands for us; worth something as long as that stands: see `session_ended`.
        """
        self._heard_at = sent_at
        self._count()

    def session_ended(self) -> None:
        """What was said on that session is forgotten with it, on both sides."""
        self._heard_at = _NEVER
        self._count()

    def lost(self) -> None:
        """Nothing is held any more."""
        self._lasting_at = self._heard_at = self.until = _NEVER

    def _count(self) -> None:
        self.until = max(self._lasting_at, self._heard_at) + self.duration_s - self.margin_s
