"""Wakers that share a descriptor: each wakes its own thread soon, and others only briefly."""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from tests.support.waiting import wait_until
from workers.gateway_manager.websocket.waker import InterruptedWaitError, Waker, WakerFactory

WAIT_S = 20.0
# The limit on a thread's reaction to a wake-up, long enough for a busy machine.
SOON_S = 2.0


class Sleeper:
    """A thread that waits for its socket or a stop, as a session's thread does."""

    def __init__(self, waker: Waker) -> None:
        self.waker = waker
        self.ours, self.theirs = socket.socketpair()
        self.turns = 0
        self.is_told = False
        self.ended_by = ""
        self._poller = select.poll()
        self._poller.register(waker.fileno(), select.POLLIN)
        self._poller.register(self.ours, select.POLLIN)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.is_told:
            self.turns += 1
            if self.waker.poll(self._poller, monotonic() + WAIT_S):
                self.ended_by = "socket"
                return
        self.ended_by = "waker"

    def stop(self) -> None:
        self.is_told = True
        self.waker.wake()

    def join(self) -> str:
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()
        return self.ended_by

    def close(self) -> None:
        self.stop()
        self._thread.join(WAIT_S)
        self.waker.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def sleepers() -> Iterator[list[Sleeper]]:
    factory = WakerFactory(wakers_per_descriptor=3)
    with ExitStack() as stack:
        made = [Sleeper(factory.make()) for _ in range(3)]
        for sleeper in made:
            stack.callback(sleeper.close)
        wait_until(lambda: all(sleeper.turns for sleeper in made))
        yield made


def test_three_share_one_descriptor(sleepers: list[Sleeper]) -> None:
    assert len({sleeper.waker.fileno() for sleeper in sleepers}) == 1


def test_a_wake_up_ends_the_wait_of_its_own_thread_alone(sleepers: list[Sleeper]) -> None:
    sleepers[1].stop()
    assert sleepers[1].join() == "waker"
    assert [sleeper.ended_by for sleeper in sleepers] == ["", "waker", ""]
    for sleeper in (sleepers[0], sleepers[2]):
        sleeper.stop()
        assert sleeper.join() == "waker"


def test_sockets_are_seen_after_a_neighbor_was_woken(sleepers: list[Sleeper]) -> None:
    sleepers[0].stop()
    sleepers[0].join()
    for sleeper in sleepers[1:]:
        sleeper.theirs.send(b"x")
        assert sleeper.join() == "socket"


def test_a_neighbor_that_never_wakes_delays_no_other(sleepers: list[Sleeper]) -> None:
    """It hangs outside poll with its signal pending; sockets and wake-ups of the others still work."""
    stuck = sleepers[0].waker
    with stuck._descriptor.lock:
        stuck._descriptor.signal()
    sleepers[1].theirs.send(b"x")
    assert sleepers[1].join() == "socket"
    sleepers[2].stop()
    assert sleepers[2].join() == "waker"
    with stuck._descriptor.lock:
        stuck._descriptor.clear()


def test_no_thread_spins_while_a_neighbor_does_not_wake(sleepers: list[Sleeper]) -> None:
    stuck = sleepers[0].waker
    with stuck._descriptor.lock:
        stuck._descriptor.signal()
    before, began = sleepers[1].turns, monotonic()
    wait_until(lambda: sleepers[1].turns >= before + 10)
    # Each turn ignores the neighbor for 5 ms; otherwise there would be thousands of turns.
    assert monotonic() - began > 10 * 0.004
    with stuck._descriptor.lock:
        stuck._descriptor.clear()


def test_a_wake_up_before_the_wait_ends_it() -> None:
    waker = WakerFactory().make()
    waker.wake()
    waker.wake()
    assert not waker.poll(select.poll(), monotonic() + WAIT_S)
    with pytest.raises(InterruptedWaitError):
        waker.wait(monotonic() + WAIT_S, lambda: True)
    waker.close()
    waker.wake()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_descriptors_are_shared_by_sixteen_and_given_back() -> None:
    factory = WakerFactory()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
    wakers = [factory.make() for _ in range(160)]
    assert len({waker.fileno() for waker in wakers}) == 10
    for waker in wakers[:100]:
        waker.close()
    again = [factory.make() for _ in range(100)]
    assert len({waker.fileno() for waker in [*wakers[100:], *again]}) == 10
    for waker in [*wakers[100:], *again]:
        waker.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_many_wake_ups_from_many_threads_are_all_seen() -> None:
    """Each sees the final state, regardless of the order of wake-ups."""
    factory = WakerFactory(wakers_per_descriptor=8)
    sleepers = [Sleeper(factory.make()) for _ in range(16)]

    def wake_all() -> None:
        for _ in range(200):
            for sleeper in sleepers:
                sleeper.waker.wake()

    threads = [threading.Thread(target=wake_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    for sleeper in sleepers:
        sleeper.stop()
    assert {sleeper.join() for sleeper in sleepers} == {"waker"}
    with sleepers[0].waker._descriptor.lock:
        assert sleepers[0].waker._descriptor._raised == 0
    for sleeper in sleepers:
        sleeper.close()
