"""A bound that holds under a crowd, and places that nobody takes along when told to go."""

import threading
from contextlib import suppress
from time import monotonic

import pytest

from tests.waiting import wait_until
from workers.gateway_manager.gate import HandshakeGate
from workers.gateway_manager.waker import InterruptedWaitError, WakerFactory

pytestmark = pytest.mark.req("ORCH-04")


class Visitor:
    """A thread that wants in."""

    def __init__(self, gate: HandshakeGate) -> None:
        self.waker = WakerFactory().make()
        self.told_to_go = False
        self.leave = threading.Event()
        self.inside = threading.Event()
        self.interrupted = threading.Event()
        self._gate = gate
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._gate.place(self.waker, lambda: self.told_to_go):
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


def test_a_hundred_threads_never_exceed_the_bound() -> None:
    gate, places, lock = HandshakeGate(7), 7, threading.Lock()
    inside, most, passed = 0, 0, 0

    def pass_through(number: int) -> None:
        nonlocal inside, most, passed
        waker = WakerFactory().make()
        for turn in range(20):
            # Some are told to go at times; that must neither leak a place nor make one.
            impatient = (number + turn) % 5 == 0
            deadline = monotonic() + 0.001
            with suppress(InterruptedWaitError):
                if impatient:
                    threading.Timer(0, waker.wake).start()
                with gate.place(waker, lambda i=impatient, d=deadline: i and monotonic() > d):  # type: ignore[misc]
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
    assert 1 <= most <= places
    assert passed >= 1600
    assert (gate._free, len(gate._queue)) == (places, 0)


def test_an_interrupted_waiter_leaves_the_queue() -> None:
    gate = HandshakeGate(1)
    holder = Visitor(gate)
    assert holder.inside.wait(5)
    waiting, next_one = Visitor(gate), Visitor(gate)
    wait_until(lambda: len(gate._queue) == 2)
    waiting.go()
    assert waiting.interrupted.wait(5)
    assert not next_one.inside.is_set()
    holder.join()
    assert next_one.inside.wait(5)
    next_one.join()
    waiting.join()
    assert gate._free == 1


def test_a_place_that_is_granted_to_one_who_goes_is_passed_on() -> None:
    gate = HandshakeGate(1)
    holder = Visitor(gate)
    assert holder.inside.wait(5)
    going, next_one = Visitor(gate), Visitor(gate)
    wait_until(lambda: len(gate._queue) == 2)
    # Told to go without being woken: it is the grant that wakes it.
    first_in_queue, second_in_queue = (
        (going, next_one) if gate._queue[0].waker is going.waker else (next_one, going)
    )
    first_in_queue.told_to_go = True
    holder.join()
    assert first_in_queue.interrupted.wait(5) or first_in_queue.inside.wait(0)
    assert second_in_queue.inside.wait(5)
    second_in_queue.join()
    first_in_queue.join()
    assert (gate._free, len(gate._queue)) == (1, 0)


def test_places_are_given_in_order() -> None:
    gate, order = HandshakeGate(1), []
    holder = Visitor(gate)
    assert holder.inside.wait(5)
    waiting = []
    for number in range(5):
        waiting.append(Visitor(gate))
        wait_until(lambda number=number: len(gate._queue) == number + 1)  # type: ignore[misc]
    holder.join()
    for visitor in waiting:
        assert visitor.inside.wait(5)
        order.append([one.inside.is_set() for one in waiting].count(True))
        visitor.join()
    assert order == [1, 2, 3, 4, 5]
