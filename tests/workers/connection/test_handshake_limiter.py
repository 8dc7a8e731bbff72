"""A limit that holds under load, slots that are never leaked, and lanes that hanging gateways do not fill."""

import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import wait_until
from workers.gateway_manager.connection import handshake_limiter
from workers.gateway_manager.connection.handshake_limiter import (
    HANDSHAKE_TIMEOUT_S,
    SLOT_S,
    HandshakeLimiter,
    SlotQueue,
    Ticket,
)
from workers.gateway_manager.websocket.waker import InterruptedWaitError, Waker, WakerFactory

pytestmark = pytest.mark.req("ORCH-04")


class Handshake:
    """A thread that waits for a slot."""

    def __init__(self, limiter: HandshakeLimiter, failures: int = 0) -> None:
        self.waker = WakerFactory().make()
        self.told_to_go = False
        self.leave = threading.Event()
        self.inside = threading.Event()
        self.interrupted = threading.Event()
        self._limiter = limiter
        self._failures = failures
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._limiter.slot(self.waker, lambda: self.told_to_go, self._failures):
                self.inside.set()
                self.leave.wait(10)
        except InterruptedWaitError:
            self.interrupted.set()

    def go(self) -> None:
        self.told_to_go = True
        self.waker.wake()

    def join(self) -> None:
        self.leave.set()
        self._thread.join(5)
        assert not self._thread.is_alive()
        self.waker.close()


def is_idle(limiter: HandshakeLimiter) -> bool:
    return (limiter._queue.held, len(limiter._queue)) == (0, 0)


def test_a_hundred_threads_never_exceed_the_bound() -> None:
    limiter, slots, lock = HandshakeLimiter(7), 7, threading.Lock()
    inside, most, passed = 0, 0, 0

    def pass_through(number: int) -> None:
        nonlocal inside, most, passed
        waker = WakerFactory().make()
        for turn in range(20):
            # Some are interrupted at times, which must neither leak nor create a slot.
            impatient = (number + turn) % 5 == 0
            deadline = monotonic() + 0.001

            def interrupted(impatient: bool = impatient, deadline: float = deadline) -> bool:
                return impatient and monotonic() > deadline

            with suppress(InterruptedWaitError):
                if impatient:
                    threading.Timer(0, waker.wake).start()
                with limiter.slot(waker, interrupted, int(number % 3 == 0)):
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    with lock:
                        inside -= 1
                        passed += 1
        waker.close()

    threads = [threading.Thread(target=pass_through, args=[number]) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert 1 <= most <= slots
    assert passed >= 1600
    assert is_idle(limiter)


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return a limiter whose slots are not lost during the test."""
    monkeypatch.setattr("workers.gateway_manager.connection.handshake_limiter.SLOT_S", 60.0)


@pytest.mark.usefixtures("lasting")
def test_an_interrupted_waiter_leaves_the_queue() -> None:
    limiter = HandshakeLimiter(1)
    holder = Handshake(limiter)
    assert holder.inside.wait(5)
    waiting, next_one = Handshake(limiter), Handshake(limiter)
    wait_until(lambda: len(limiter._queue) == 2)
    waiting.go()
    assert waiting.interrupted.wait(5)
    assert not next_one.inside.is_set()
    holder.join()
    assert next_one.inside.wait(5)
    next_one.join()
    waiting.join()
    assert is_idle(limiter)


@pytest.mark.usefixtures("lasting")
def test_a_slot_granted_to_an_interrupted_waiter_is_passed_on() -> None:
    limiter = HandshakeLimiter(1)
    holder = Handshake(limiter)
    assert holder.inside.wait(5)
    second = Handshake(limiter)
    wait_until(lambda: len(limiter._queue) == 1)
    first = Handshake(limiter)
    wait_until(lambda: len(limiter._queue) == 2)
    # Interrupted without a wake-up: the grant wakes it.
    first.told_to_go = True
    holder.join()
    assert first.interrupted.wait(5) or first.inside.is_set()
    first.leave.set()
    assert second.inside.wait(5)
    second.join()
    first.join()
    assert is_idle(limiter)


def test_a_hanging_handshake_loses_its_slot_and_continues() -> None:
    limiter = HandshakeLimiter(2)
    hanging = [Handshake(limiter) for _ in range(10)]
    wait_until(lambda: sum(one.inside.is_set() for one in hanging) == 2)
    healthy = Handshake(limiter)
    # The newest starts first, as soon as the first slot is lost; the others follow in pairs.
    assert healthy.inside.wait(5 * SLOT_S)
    assert sum(one.inside.is_set() for one in hanging) <= 4
    healthy.join()
    wait_until(lambda: all(one.inside.is_set() for one in hanging), 20 * SLOT_S)
    assert not any(one.leave.is_set() for one in hanging)
    for one in hanging:
        one.join()
    assert is_idle(limiter)


@pytest.mark.usefixtures("lasting")
def test_a_single_waiter_watches_for_lost_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waking thousands together would use a core for seconds and block all of them."""
    timed: set[Waker] = set()
    most = 0
    wait = Waker.wait

    def counting(waker: Waker, until: float, interrupted: Callable[[], bool]) -> None:
        nonlocal most
        if until != inf:
            timed.add(waker)
            most = max(most, len(timed))
        try:
            wait(waker, until, interrupted)
        finally:
            timed.discard(waker)

    monkeypatch.setattr(Waker, "wait", counting)
    monkeypatch.setattr(handshake_limiter, "SLOT_S", 0.5)
    limiter = HandshakeLimiter(1)
    holder = Handshake(limiter)
    assert holder.inside.wait(5)
    others = [Handshake(limiter) for _ in range(40)]
    wait_until(lambda: any(other.inside.is_set() for other in others), 5, "a lost slot to be passed on")
    for handshake in (holder, *others):
        handshake.leave.set()
    for handshake in (holder, *others):
        handshake.join()
    # A woken thread may still be leaving its wait.
    assert most <= 3


def test_suspects_leave_slots_to_others() -> None:
    limiter = HandshakeLimiter(4)
    suspects = [Handshake(limiter, failures=1) for _ in range(6)]
    wait_until(lambda: sum(one.inside.is_set() for one in suspects) == 2)
    others = [Handshake(limiter) for _ in range(2)]
    for one in others:
        assert one.inside.wait(5)
    assert sum(one.inside.is_set() for one in suspects) == 2
    for one in others:
        one.join()
    assert sum(one.inside.is_set() for one in suspects) == 2
    for one in suspects:
        one.leave.set()
    wait_until(lambda: all(one.inside.is_set() for one in suspects))
    for one in suspects:
        one.join()
    assert is_idle(limiter)


def test_a_suspect_waiting_for_its_gap_gets_a_slot_without_other_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshake_limiter, "SLOT_S", 0.2)
    monkeypatch.setattr(handshake_limiter, "HANDSHAKE_TIMEOUT_S", 4.0)
    limiter = HandshakeLimiter(2)
    hanging = [Handshake(limiter, failures=1) for _ in range(2)]
    wait_until(lambda: all(one.inside.is_set() for one in hanging), 8)
    # Two are in progress, the most for suspects. One ends before the gap is over.
    waiting = Handshake(limiter, failures=1)
    wait_until(lambda: len(limiter._queue) == 1)
    hanging[0].join()
    assert not waiting.inside.is_set()
    assert waiting.inside.wait(8)
    for one in (hanging[1], waiting):
        one.join()
    assert is_idle(limiter)


# The queue alone, on a simulated clock.


def ticket(failures: int = 0) -> Ticket:
    waker = WakerFactory().make()
    waker.close()
    return Ticket(waker, failures)


def test_suspects_go_last_and_fewest_failures_first() -> None:
    queue = SlotQueue(1)
    holder, old, new = ticket(), ticket(), ticket()
    suspects = [ticket(2), ticket(2), ticket(1)]
    queue.add(holder)
    assert queue.grant(0) == [holder]
    for each in (*suspects, old, new):
        queue.add(each)
    order: list[Ticket] = []
    for number in range(5):
        queue.remove([holder, *order][-1])
        order += queue.grant(number)
    assert set(order[:2]) == {new, old}
    assert order[2:] == [suspects[2], *suspects[:2]]


def test_hanging_suspects_start_rarely_and_responsive_ones_as_slots_free_up() -> None:
    queue, now = SlotQueue(50), 0.0
    suspects = [ticket(1) for _ in range(1000)]
    for each in suspects:
        queue.add(each)
    began = dict.fromkeys(queue.grant(now), now)
    while now < 60:
        now = min(now + 0.1, max(now, queue.next_expiry))
        for each in [one for one, at in began.items() if now >= at + HANDSHAKE_TIMEOUT_S]:
            queue.remove(each)
            del began[each]
        granted = queue.grant(now)
        began.update(dict.fromkeys(granted, now))
        assert len(granted) <= 1
        assert len(began) <= 50
    hung = 1000 - len(queue)
    assert 4.5 * 60 <= hung <= 5 * 60 + 50
    # They answer again.
    for each in began:
        queue.remove(each)
    assert len(queue.grant(now)) == 25


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask as a suspect", "end"]), st.integers(0, 20), st.floats(0, 0.7)),
    max_size=80,
)


@given(st.integers(1, 6), STEPS)
def test_the_limits_hold_and_no_waiter_starves(slots: int, steps: list[tuple[str, int, float]]) -> None:
    queue, now = SlotQueue(slots), 0.0
    there: list[Ticket] = []
    granted_at: dict[Ticket, float] = {}

    def grant() -> None:
        granted_at.update((each, now) for each in queue.grant(now))

    def count(is_counted: Callable[[Ticket], bool]) -> int:
        young = [each for each in there if now < granted_at.get(each, -SLOT_S) + SLOT_S]
        return sum(is_counted(each) for each in young)

    for what, number, gap_s in steps:
        now += gap_s
        if what == "end" and there:
            queue.remove(there.pop(number % len(there)))
        elif what != "end":
            there.append(ticket(number if "suspect" in what else 0))
            queue.add(there[-1])
        grant()
        assert count(lambda _: True) == queue.held <= slots
        assert count(lambda each: each.failures > 0) <= max(1, slots // 2)
        assert sum(each.granted and each.failures > 0 for each in there) <= slots
        waiting = [each for each in there if not each.granted]
        assert len(waiting) == len(queue)
        # A slot stays free only while all waiters are suspects, and these use their part or hang.
        if waiting and queue.held < slots:
            assert all(each.failures > 0 for each in waiting)
        assert (queue.front in waiting) if waiting else queue.front is None
    # From here on no waiter is added: others get slots although none ends, suspects when some end.
    for _ in range(len(there)):
        now = max(now, min(queue.next_expiry, now + SLOT_S))
        grant()
    assert all(each.granted for each in there if not each.failures)
    while there:
        ended = min(there, key=lambda one: granted_at.get(one, inf))
        assert ended.granted
        there.remove(ended)
        queue.remove(ended)
        now += HANDSHAKE_TIMEOUT_S
        grant()
    assert (queue.held, len(queue)) == (0, 0)


def test_the_oldest_waiter_gets_its_turn_among_frequent_new_ones() -> None:
    """In each round more waiters arrive than there are slots, like handshakes that fail immediately."""
    queue, patient = SlotQueue(2), ticket()
    queue.add(patient)
    for round_number in range(10):
        for each in [ticket() for _ in range(4)]:
            queue.add(each)
        for each in queue.grant(round_number):
            queue.remove(each)
    assert patient.granted
