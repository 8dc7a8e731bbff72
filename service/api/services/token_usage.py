"""Noting when tokens were last used, beside the requests: none waits for it, and none fails with it."""

import logging
import threading
from uuid import UUID

from service.database.engine.query import Executor
from service.database.security.tokens import TokenRepository
from service.errors import DatabaseError
from service.ongoing_failure import OngoingFailure
from service.threads import BackgroundThread

log = logging.getLogger("millgate.api")


class TokenUses:
    """Owns a thread. Any thread may call `note`. What cannot be written is noted again by a later use."""

    def __init__(self, database: Executor, retry_s: float = 60.0) -> None:
        self._tokens = TokenRepository(database)
        self._retry_s = retry_s
        self._changed = threading.Condition()
        self._used: set[UUID] = set()
        self._stopping = threading.Event()
        self._recording = OngoingFailure(
            log,
            begins="cannot record when tokens were used: %s; it is noted with their next use; check"
            " PostgreSQL, see docs/runbook.md#database-away",
            ends="the use of tokens is recorded again, after %.1f s",
        )
        self._thread = BackgroundThread(self._run, "token-uses")

    def start(self) -> None:
        """Start after the fork."""
        self._thread.start()

    def note(self, token_id: UUID) -> None:
        """A token that is known, and was used today. Returns at once."""
        with self._changed:
            self._used.add(token_id)
            self._changed.notify()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread, after it wrote what is noted."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while used := self._take():
            try:
                for token_id in used:
                    self._tokens.note_use(token_id)
                self._recording.over()
            except DatabaseError as error:
                self._recording.failed(error)
                self._stopping.wait(self._retry_s)

    def _take(self) -> set[UUID]:
        """What there is to write, as soon as there is; nothing when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._used or self._stopping.is_set())
            used, self._used = self._used, set()
            return used
