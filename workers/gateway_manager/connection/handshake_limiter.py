"""A bound on the handshakes under way: a thousand gateways after a restart are a ramp, not a stampede.

A handshake counts while it is young. One that takes longer than SLOT_S waits for its gateway, which costs us
nothing, so its slot goes to another: gateways that never answer hold a slot for a second, not for ten.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from math import inf
from time import monotonic

from workers.gateway_manager.websocket.waker import InterruptedWaitError, Waker

SLOT_S = 1.0
"""How long one handshake holds its slot at most."""
HANGING_S = 10.0
"""How long one that hangs takes, about: its deadline."""


class Ticket:
    """One handshake that waits for a slot, or has one."""

    __slots__ = ("failures", "granted", "is_waiting", "waker", "watches")

    def __init__(self, waker: Waker, failures: int) -> None:
        self.waker = waker
        self.failures = failures
        """In a row, if its gateway outlasted the slot the last time and failed; 0: it is no suspect."""
        self.is_waiting = False
        self.granted = False
        self.watches = False
        """Its wait ends with the next expiry."""


class SlotQueue:
    """Who gets the next slot. Pure: times go in (monotonic seconds), tickets come out.

    Suspects wait in a lane of their own, those with the fewest failures first. They never have more than half
    of the slots, nor more handshakes under way, old ones counted, than there are slots; and while some hang,
    the next begins after a gap. So nobody gets more attempts by hanging, and one always begins soon.
    All others go before them, the newest and the oldest in turn. The newest, since the others are the
    likeliest to be in a crowd that does not answer; the oldest, since gateways that fail quickly come again
    and again, and would be in front of it for ever.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._suspect_slots = max(1, slots // 2)
        self._waiting: dict[Ticket, None] = {}
        self._is_newest_next = True
        self._suspects: list[tuple[int, int, Ticket]] = []
        """A heap: by failures, then by arrival."""
        self._arrivals = 0
        self._suspects_under_way: set[Ticket] = set()
        self._next_suspect_at = -inf
        """If some of those hang."""
        self._holders: dict[Ticket, float] = {}
        """With the time at which each loses its slot; the next to do so comes first."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._suspects)

    @property
    def held(self) -> int:
        """How many slots are taken."""
        return len(self._holders)

    @property
    def next_expiry(self) -> float:
        """When somebody who waits may get a slot though nobody has ended; infinite if there is nobody."""
        if not len(self):
            return inf
        next_slot_at = next(iter(self._holders.values()), inf)
        if len(self._holders) < self._slots and self._has_room_for_suspects:
            return min(next_slot_at, self._next_suspect_at)
        return next_slot_at

    @property
    def front(self) -> Ticket | None:
        """Who watches for the next expiry: one of those who wait, if any do."""
        return next(reversed(self._waiting), None) or (self._suspects[0][2] if self._suspects else None)

    def add(self, ticket: Ticket) -> None:
        """Another one waits."""
        ticket.is_waiting = True
        if ticket.failures:
            self._arrivals += 1
            heappush(self._suspects, (ticket.failures, self._arrivals, ticket))
        else:
            self._waiting[ticket] = None

    def remove(self, ticket: Ticket) -> None:
        """It has ended, or gone while it waited. Harmless twice."""
        ticket.is_waiting = False
        self._holders.pop(ticket, None)
        self._waiting.pop(ticket, None)
        self._suspects_under_way.discard(ticket)
        if ticket.failures and not ticket.granted:
            self._suspects = [each for each in self._suspects if each[2] is not ticket]
            heapify(self._suspects)

    def grant(self, now: float) -> list[Ticket]:
        """Gives away what is free; tells who got it."""
        while self._holders and next(iter(self._holders.values())) <= now:
            del self._holders[next(iter(self._holders))]
        granted = []
        while len(self._holders) < self._slots and (ticket := self._take_next(now)) is not None:
            ticket.granted, ticket.is_waiting = True, False
            self._holders[ticket] = now + SLOT_S
            granted.append(ticket)
        return granted

    @property
    def _has_room_for_suspects(self) -> bool:
        young = len(self._suspects_under_way & self._holders.keys())
        return len(self._suspects_under_way) < self._slots and young < self._suspect_slots

    def _take_next(self, now: float) -> Ticket | None:
        if self._waiting:
            ticket = next((reversed if self._is_newest_next else iter)(self._waiting))
            del self._waiting[ticket]
            self._is_newest_next = not self._is_newest_next
            return ticket
        if not self._suspects or not self._has_room_for_suspects:
            return None
        if now < self._next_suspect_at and self._suspects_under_way - self._holders.keys():
            return None
        ticket = heappop(self._suspects)[2]
        self._suspects_under_way.add(ticket)
        self._next_suspect_at = now + HANGING_S / self._slots
        return ticket


class HandshakeLimiter:
    """Any thread may call; each waits on its own waker."""

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._queue = SlotQueue(slots)
        self._watcher: Ticket | None = None
        """Of those who wait the one whose wait ends with the next expiry."""
        self._watched_until = inf

    @contextmanager
    def slot(self, waker: Waker, interrupted: Callable[[], bool], failures: int = 0) -> Iterator[None]:
        """Waits for a slot and holds it for the block, SLOT_S at most.

        `failures`: how many in a row, if the gateway outlasted its slot the last time and failed.
        Raises InterruptedWaitError while it waits.
        """
        ticket = Ticket(waker, failures)
        self._grant(lambda queue: queue.add(ticket))
        try:
            self._wait(ticket, interrupted)
            yield
        finally:
            self._grant(lambda queue: queue.remove(ticket))

    def _wait(self, ticket: Ticket, interrupted: Callable[[], bool]) -> None:
        def has_to_look() -> bool:
            return ticket.granted or interrupted() or (self._watcher is ticket and not ticket.watches)

        while not ticket.granted:
            with self._lock:
                ticket.watches = self._watcher is ticket
                until = self._queue.next_expiry if ticket.watches else inf
                if ticket.watches:
                    self._watched_until = until
            try:
                ticket.waker.wait(until, has_to_look)
            except InterruptedWaitError:
                if interrupted():
                    raise
            self._grant(lambda _: None)

    def _grant(self, change: Callable[[SlotQueue], None]) -> None:
        with self._lock:
            change(self._queue)
            woken = self._queue.grant(monotonic())
            # The same one as long as it waits: each that ever watched would wake with the next expiry.
            if self._watcher is None or not self._watcher.is_waiting:
                self._watcher = self._queue.front
                woken += [self._watcher] if self._watcher is not None else []
            elif self._queue.next_expiry < self._watched_until:
                self._watcher.watches = False
                woken.append(self._watcher)
        for ticket in woken:
            ticket.waker.wake()
