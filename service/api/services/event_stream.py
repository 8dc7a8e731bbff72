"""Transitions and heartbeats for one client, as server-sent events, for as long as it listens."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

from service.api.schemas.cursors import EventCursor, stream_digest
from service.api.schemas.events import (
    HeartbeatMessage,
    ResetMessage,
    StreamedEventResponse,
    UnauthorizedMessage,
    UnavailableMessage,
)
from service.api.services.event_feed import EventFeed, Slot
from service.api.services.heartbeats import HEARTBEAT_S, Heartbeats, Outage
from service.api.web.event_stream import format_event
from service.database.engine.deadline import REQUEST_LIMIT_S, set_deadline
from service.database.engine.query import Executor
from service.database.views.event_stream import EventStreamRepository, StreamPlace, StreamPosition
from service.database.views.heartbeats import Heartbeat, find_heartbeat
from service.errors import DatabaseError, EventCursorExpiredError, TooManyWaitingError

RECONNECT_MS = 1000
BATCH = 100
"""Events read at once."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a client follows: `scope` stands for it in cursors."""

    scope: bytes
    factory_id: UUID | None
    token_id: UUID | None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events as they are sent, and how far that is; clients at the same place share it."""

    text: bytes
    end: StreamPosition
    has_more: bool


class EventStream:
    """Iterate it once, in one thread, and close it in any case: it gives the slot back."""

    def __init__(
        self, database: Executor, feed: EventFeed, heartbeats: Heartbeats, slot: Slot, followed: Followed
    ) -> None:
        """Take the slot before. Raises DatabaseError, TooManyWaitingError."""
        self._database, self._repository = database, EventStreamRepository(database)
        self._feed, self._heartbeats, self._followed = feed, heartbeats, followed
        # That may be of long ago, when somebody else followed.
        self._outdated = heartbeats.latest
        stream, self._first = self._now()
        self._place = StreamPlace(stream, self._first.newest)
        self._has_more = False
        self._confirmed_at = self._first.as_of
        self._told: Heartbeat | Outage | None = None
        self._failed: Heartbeat | Outage | None = None
        """What was the latest when events could not be read: they are read again after the next one."""
        self._read_up_to: Heartbeat | None = None
        """After a restore or a take-over a heartbeat may name a place that is never reached."""
        self._held = ExitStack()
        self._held.callback(feed.release, slot)
        self._held.enter_context(heartbeats.following(followed.token_id))

    def start_after(self, cursor: EventCursor) -> None:
        """Begin there rather than now. One that has expired is told in the stream."""
        is_of_stream = cursor.stream == stream_digest(self._place.stream)
        self._place = StreamPlace(self._place.stream if is_of_stream else "", cursor.position)
        self._has_more = True

    def close(self) -> None:
        """Call it when the response has ended, however that was."""
        self._held.close()

    def __iter__(self) -> Iterator[bytes]:
        """What to send, until the process stops or the token is revoked."""
        yield f"retry: {RECONNECT_MS}\n\n".encode()
        while not self._feed.is_stopping:
            if self._heartbeats.is_revoked(self._followed.token_id):
                yield format_event("unauthorized", UnauthorizedMessage().model_dump_json())
                return
            text = self._next()
            if text:
                yield text

    def _next(self) -> bytes:
        """What to send now; nothing after a wait."""
        latest = self._latest()
        can_read = isinstance(latest, Heartbeat) and self._failed is not latest
        if isinstance(latest, Heartbeat) and can_read and self._is_behind(latest):
            return self._read_on(latest)
        # Before all up to a heartbeat was read, it would confirm what is not true any more.
        if latest is not self._told and self._failed is not latest:
            self._told = latest
            return self._confirm(latest) if isinstance(latest, Heartbeat) else self._unavailable()
        self._feed.wait_for(
            lambda: self._latest() is not latest or (can_read and self._feed.is_beyond(self._place.position)),
            HEARTBEAT_S,
        )
        return b""

    def _latest(self) -> Heartbeat | Outage:
        latest = self._heartbeats.latest
        return self._first if latest is None or latest is self._outdated else latest

    def _is_behind(self, latest: Heartbeat) -> bool:
        position = self._place.position
        has_news = latest is not self._read_up_to and latest.newest > position
        return self._has_more or has_news or self._feed.is_beyond(position)

    def _read_on(self, latest: Heartbeat) -> bytes:
        set_deadline(REQUEST_LIMIT_S)
        try:
            try:
                what = (self._place, self._followed.factory_id, "stream")
                batch = self._feed.read_once(what, self._read, REQUEST_LIMIT_S)
            except EventCursorExpiredError:
                return self._reset()
        except (DatabaseError, TooManyWaitingError):
            self._failed = latest
            return self._unavailable()
        self._place = StreamPlace(self._place.stream, batch.end)
        self._has_more = batch.has_more
        if not batch.has_more:
            self._read_up_to = latest
        return batch.text

    def _read(self) -> _Batch:
        part = self._repository.read(self._place, self._followed.factory_id, BATCH)
        text = b"".join(
            format_event(
                "transition",
                StreamedEventResponse.of_stream(event).model_dump_json(),
                self._cursor(StreamPosition(event.modified_xid, event.id)),
            )
            for event in part.events
        )
        return _Batch(text, part.end, part.has_more)

    def _reset(self) -> bytes:
        stream, now = self._now()
        self._place, self._has_more = StreamPlace(stream, now.newest), False
        return format_event("reset", ResetMessage().model_dump_json(), self._cursor(now.newest))

    def _now(self) -> tuple[str, Heartbeat]:
        set_deadline(REQUEST_LIMIT_S)
        return self._feed.read_once("now", self._find_now, REQUEST_LIMIT_S)

    def _find_now(self) -> tuple[str, Heartbeat]:
        return self._repository.find_stream(), find_heartbeat(self._database)

    def _confirm(self, heartbeat: Heartbeat) -> bytes:
        self._confirmed_at = heartbeat.as_of
        message = HeartbeatMessage.of(heartbeat)
        return format_event("heartbeat", message.model_dump_json(), self._cursor(self._place.position))

    def _unavailable(self) -> bytes:
        return format_event("unavailable", UnavailableMessage(since=self._confirmed_at).model_dump_json())

    def _cursor(self, position: StreamPosition) -> str:
        return EventCursor(self._followed.scope, stream_digest(self._place.stream), position).encode()
