"""A bound on the handshakes under way: a thousand gateways after a restart are a ramp, not a stampede.

A handshake counts while it is young. One that takes longer than SLOT_S waits for its gateway, which costs us
nothing, so its slot goes to another: gateways that never answer hold a slot for a second, not for ten.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic

from workers.gateway_manager.waker import InterruptedWaitError, Waker

SLOT_S = 1.0
"""How long one handshake holds its slot at most."""


class Ticket:
    """One handshake that waits for a slot, or has one."""

    __slots__ = ("granted", "is_suspect", "is_waiting", "waker", "watches")

    def __init__(self, waker: Waker, *, is_suspect: bool) -> None:
        self.waker = waker
        self.is_suspect = is_suspect
        """Its gateway outlasted the slot the last time, and no session came of it."""
        self.is_waiting = False
        self.granted = False
        self.watches = False
        """Its wait ends with the next expiry."""


class SlotQueue:
    """Who gets the next slot. Pure: times go in (monotonic seconds), tickets come out.

    Suspects wait in a lane of their own, first come, first served, and never have more than half of them.
    All others go before them, the newest first: when many wait, the oldest are the likeliest to be in a crowd
    of gateways that do not answer. Nobody is in front of them for more than one attempt.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._suspect_slots = max(1, slots // 2)
        self._waiting: dict[Ticket, None] = {}
        self._suspects: deque[Ticket] = deque()
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
        """When the next slot is free at the latest; infinite if none is taken."""
        return next(iter(self._holders.values()), inf)

    @property
    def front(self) -> Ticket | None:
        """Who watches for the next expiry: one of those who wait, if any do."""
        return next(reversed(self._waiting), None) or (self._suspects[0] if self._suspects else None)

    def add(self, ticket: Ticket) -> None:
        """Another one waits."""
        ticket.is_waiting = True
        if ticket.is_suspect:
            self._suspects.append(ticket)
        else:
            self._waiting[ticket] = None

    def remove(self, ticket: Ticket) -> None:
        """It has ended, or gone while it waited. Harmless twice."""
        ticket.is_waiting = False
        self._holders.pop(ticket, None)
        self._waiting.pop(ticket, None)
        if ticket.is_suspect and not ticket.granted:
            self._suspects.remove(ticket)

    def grant(self, now: float) -> list[Ticket]:
        """Gives away what is free; tells who got it."""
        while self._holders and self.next_expiry <= now:
            del self._holders[next(iter(self._holders))]
        granted = []
        while len(self._holders) < self._slots and (ticket := self._take_next()) is not None:
            ticket.granted, ticket.is_waiting = True, False
            self._holders[ticket] = now + SLOT_S
            granted.append(ticket)
        return granted

    def _take_next(self) -> Ticket | None:
        if self._waiting:
            return self._waiting.popitem()[0]
        if self._suspects and sum(one.is_suspect for one in self._holders) < self._suspect_slots:
            return self._suspects.popleft()
        return None


class HandshakeLimiter:
    """Any thread may call; each waits on its own waker."""

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._queue = SlotQueue(slots)
        self._watcher: Ticket | None = None
        """Of those who wait the one whose wait ends with the next expiry."""

    @contextmanager
    def slot(self, waker: Waker, interrupted: Callable[[], bool], *, suspect: bool = False) -> Iterator[None]:
        """Waits for a slot and holds it for the block, SLOT_S at most.

        `suspect`: the gateway outlasted its slot the last time, and failed.
        Raises InterruptedWaitError while it waits.
        """
        ticket = Ticket(waker, is_suspect=suspect)
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
        for ticket in woken:
            ticket.waker.wake()
