"""One look at the database a second for all clients that follow transitions in a stream."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from service.api.services.event_feed import EventFeed
from service.database.engine.deadline import REQUEST_LIMIT_S, set_deadline
from service.database.engine.query import Executor
from service.database.security.tokens import TokenRepository
from service.database.views.heartbeats import Heartbeat, find_heartbeat
from service.errors import DatabaseError
from service.threads import BackgroundThread

log = logging.getLogger("millgate.api")

HEARTBEAT_S = 3.0
"""Clients are told at least this often, and at once when workers come or go, or the database does."""


@dataclass(frozen=True, slots=True, eq=False)
class Outage:
    """The database does not answer."""


class Heartbeats:
    """Owns a thread, which looks only while somebody follows. Any thread may call."""

    def __init__(self, database: Executor, feed: EventFeed, interval_s: float = 1.0) -> None:
        self._database = database
        self._feed = feed
        self._interval_s = interval_s
        self._followed = threading.Condition()
        self._followers: Counter[UUID | None] = Counter()
        """How many streams there are, by token."""
        self._revoked: frozenset[UUID] = frozenset()
        self._latest: Heartbeat | Outage | None = None
        self._told_at = 0.0
        self._stopping = threading.Event()
        self._thread = BackgroundThread(self._run, "event-heartbeats")

    def start(self) -> None:
        """Start after the fork."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread, after the look under way."""
        self._stopping.set()
        with self._followed:
            self._followed.notify()
        self._thread.join(timeout_s)

    @property
    def latest(self) -> Heartbeat | Outage | None:
        """What clients are to be told: another object whenever it is time to. None before the first look."""
        return self._latest

    def is_revoked(self, token_id: UUID | None) -> bool:
        """Whether a token that somebody follows with was revoked."""
        return token_id in self._revoked

    @contextmanager
    def following(self, token_id: UUID | None) -> Iterator[None]:
        """Around a stream that was asked for with this token, if with any."""
        with self._followed:
            self._followers[token_id] += 1
            self._followed.notify()
        try:
            yield
        finally:
            with self._followed:
                self._followers[token_id] -= 1
                if not self._followers[token_id]:
                    del self._followers[token_id]

    def _run(self) -> None:
        while (tokens := self._wanted()) is not None:
            self._publish(*self._look(tokens))
            self._stopping.wait(self._interval_s)

    def _wanted(self) -> set[UUID] | None:
        """Wait until somebody follows; return the tokens in use, or None when stopping."""
        with self._followed:
            self._followed.wait_for(lambda: self._followers or self._stopping.is_set())
            return None if self._stopping.is_set() else {token for token in self._followers if token}

    def _look(self, tokens: set[UUID]) -> tuple[Heartbeat | Outage, frozenset[UUID]]:
        set_deadline(REQUEST_LIMIT_S)
        try:
            live = TokenRepository(self._database).find_live_among(tokens) if tokens else set()
            return find_heartbeat(self._database), frozenset(tokens - live)
        except DatabaseError as error:
            log.debug("cannot read a heartbeat: %s", error)
            return Outage(), self._revoked

    def _publish(self, seen: Heartbeat | Outage, revoked: frozenset[UUID]) -> None:
        now = monotonic()
        is_news = _gist(seen) != _gist(self._latest) or not revoked <= self._revoked
        self._revoked = revoked
        if is_news or now - self._told_at >= HEARTBEAT_S - self._interval_s / 2:
            self._latest, self._told_at = seen, now
            self._feed.wake()


def _gist(seen: Heartbeat | Outage | None) -> object:
    """What is worth telling at once when it changes."""
    return seen.live_workers if isinstance(seen, Heartbeat) else type(seen)
