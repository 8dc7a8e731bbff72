"""Limits concurrent handshakes, so that a thousand gateways after a restart connect in a ramp.

A handshake holds its slot for SLOT_S at most. One that takes longer only waits for its gateway, which costs
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
"""How long a handshake holds its slot at most."""
HANDSHAKE_TIMEOUT_S = 10.0
"""About how long a handshake without an answer takes: its deadline."""


class Ticket:
    """A handshake that waits for a slot, or holds one."""

    __slots__ = ("failures", "granted", "is_timekeeper", "is_waiting", "waker")

    def __init__(self, waker: Waker, failures: int) -> None:
        self.waker = waker
        self.failures = failures
        """Consecutive failures of a gateway whose last attempt outlasted its slot; 0 for a responsive one."""
        self.is_waiting = False
        self.granted = False
        self.is_timekeeper = False
        """Its wait ends when the next slot expires."""


class SlotQueue:
    """Chooses who gets the next slot. Pure: times in (monotonic seconds), tickets out.

    Unresponsive gateways have a queue of their own, those with the fewest failures first. They never hold
    more than half of the slots, nor have more handshakes in progress, expired slots included, than there are
    slots; and while some hang, the next begins after a gap. So hanging earns no gateway more attempts, and
    one always begins soon. All others go first, the newest and the oldest in turn: the newest because older
    ones are likelier to belong to a crowd that does not answer, the oldest because gateways that fail quickly
    come back again and again and would stay ahead of it.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._unresponsive_slots = max(1, slots // 2)
        self._waiting: dict[Ticket, None] = {}
        self._is_newest_next = True
        self._unresponsive: list[tuple[int, int, Ticket]] = []
        """A heap: by failures, then by arrival."""
        self._arrivals = 0
        self._unresponsive_in_progress: set[Ticket] = set()
        self._next_unresponsive_at = -inf
        """When the next unresponsive one may begin, if some hang."""
        self._holders: dict[Ticket, float] = {}
        """With the time at which each slot expires, soonest first."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unresponsive)

    @property
    def held(self) -> int:
        """How many slots are in use."""
        return len(self._holders)

    @property
    def next_expiry(self) -> float:
        """When a waiting ticket may get a slot without another one ending; infinite if none waits."""
        if not len(self):
            return inf
        next_slot_at = next(iter(self._holders.values()), inf)
        if len(self._holders) < self._slots and self._has_slot_for_unresponsive:
            return min(next_slot_at, self._next_unresponsive_at)
        return next_slot_at

    @property
    def front(self) -> Ticket | None:
        """The ticket that waits for the next expiry on behalf of all: one of those waiting, if any."""
        return next(reversed(self._waiting), None) or (
            self._unresponsive[0][2] if self._unresponsive else None
        )

    def add(self, ticket: Ticket) -> None:
        """Adds a ticket to its queue."""
        ticket.is_waiting = True
        if ticket.failures:
            self._arrivals += 1
            heappush(self._unresponsive, (ticket.failures, self._arrivals, ticket))
        else:
            self._waiting[ticket] = None

    def remove(self, ticket: Ticket) -> None:
        """It has ended, or stopped waiting. Idempotent."""
        ticket.is_waiting = False
        self._holders.pop(ticket, None)
        self._waiting.pop(ticket, None)
        self._unresponsive_in_progress.discard(ticket)
        if ticket.failures and not ticket.granted:
            self._unresponsive = [each for each in self._unresponsive if each[2] is not ticket]
            heapify(self._unresponsive)

    def grant(self, now: float) -> list[Ticket]:
        """Grants free slots; returns the tickets that got one."""
        while self._holders and next(iter(self._holders.values())) <= now:
            del self._holders[next(iter(self._holders))]
        granted = []
        while len(self._holders) < self._slots and (ticket := self._take_next(now)) is not None:
            ticket.granted, ticket.is_waiting = True, False
            self._holders[ticket] = now + SLOT_S
            granted.append(ticket)
        return granted

    @property
    def _has_slot_for_unresponsive(self) -> bool:
        young = len(self._unresponsive_in_progress & self._holders.keys())
        return len(self._unresponsive_in_progress) < self._slots and young < self._unresponsive_slots

    def _take_next(self, now: float) -> Ticket | None:
        if self._waiting:
            ticket = next((reversed if self._is_newest_next else iter)(self._waiting))
            del self._waiting[ticket]
            self._is_newest_next = not self._is_newest_next
            return ticket
        if not self._unresponsive or not self._has_slot_for_unresponsive:
            return None
        if now < self._next_unresponsive_at and self._unresponsive_in_progress - self._holders.keys():
            return None
        ticket = heappop(self._unresponsive)[2]
        self._unresponsive_in_progress.add(ticket)
        self._next_unresponsive_at = now + HANDSHAKE_TIMEOUT_S / self._slots
        return ticket


class HandshakeLimiter:
    """Any thread may call; each waits on its own waker."""

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._queue = SlotQueue(slots)
        self._timekeeper: Ticket | None = None
        """The waiting ticket whose wait ends when the next slot expires."""
        self._timekeeper_until = inf

    @contextmanager
    def slot(self, waker: Waker, interrupted: Callable[[], bool], failures: int = 0) -> Iterator[None]:
        """Waits for a slot and holds it for the block, SLOT_S at most.

        `failures`: consecutive ones, if the gateway's last attempt outlasted its slot; else 0.
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
        def interrupted_or_granted() -> bool:
            return (
                ticket.granted or interrupted() or (self._timekeeper is ticket and not ticket.is_timekeeper)
            )

        while not ticket.granted:
            with self._lock:
                ticket.is_timekeeper = self._timekeeper is ticket
                until = self._queue.next_expiry if ticket.is_timekeeper else inf
                if ticket.is_timekeeper:
                    self._timekeeper_until = until
            try:
                ticket.waker.wait(until, interrupted_or_granted)
            except InterruptedWaitError:
                if interrupted():
                    raise
            self._grant(lambda _: None)

    def _grant(self, change: Callable[[SlotQueue], None]) -> None:
        with self._lock:
            change(self._queue)
            woken = self._queue.grant(monotonic())
            # Keep it as long as it waits: otherwise each former timekeeper would wake at the next expiry.
            if self._timekeeper is None or not self._timekeeper.is_waiting:
                self._timekeeper = self._queue.front
                woken += [self._timekeeper] if self._timekeeper is not None else []
            elif self._queue.next_expiry < self._timekeeper_until:
                self._timekeeper.is_timekeeper = False
                woken.append(self._timekeeper)
        for ticket in woken:
            ticket.waker.wake()
