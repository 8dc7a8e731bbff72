"""Hanging look-ups are shared, limited in number, and delay no other name."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from time import monotonic

import pytest

from service.threads import BackgroundThread
from tests.support.waiting import wait_until
from workers.gateway_manager.websocket import resolver as resolver_module
from workers.gateway_manager.websocket.resolver import (
    Address,
    Resolver,
    ResolverBusyError,
    ResolveTimeoutError,
)
from workers.gateway_manager.websocket.waker import InterruptedWaitError, WakerFactory

pytestmark = pytest.mark.req("ORCH-06")
FOUND = "192.0.2.1"


class NameServer:
    """Replaces the system's look-up. Names that begin with "silent" hang until `answer` is set."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: Counter[str] = Counter()
        self.most = 0
        self._under_way = 0
        self._lock = threading.Lock()

    def lookup(self, host: str, flags: int) -> list[Address]:
        if flags & socket.AI_NUMERICHOST:
            return [(socket.AF_INET, (host, 0))]
        with self._lock:
            self.asked[host] += 1
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            if host.startswith("silent"):
                assert self.answer.wait(20)
            if host.startswith("unknown"):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, (FOUND, 0)), (socket.AF_INET6, ("2001:db8::1", 0, 0, 0))]
        finally:
            with self._lock:
                self._under_way -= 1


class Asking:
    """A thread that looks up an address."""

    def __init__(self, resolver: Resolver, host: str, limit_s: float = 20, port: int = 5000) -> None:
        self.outcome: list[Address] | BaseException | None = None
        self.told_to_stop = False
        self._waker = WakerFactory().make()

        def run() -> None:
            try:
                until = monotonic() + limit_s
                self.outcome = resolver.resolve(host, port, until, self._waker, lambda: self.told_to_stop)
            except (OSError, ResolveTimeoutError, ResolverBusyError, InterruptedWaitError) as error:
                self.outcome = error

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.told_to_stop = True
        self._waker.wake()

    def result(self) -> list[Address] | BaseException | None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._waker.close()
        return self.outcome


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    monkeypatch.setattr(resolver_module, "_lookup", made.lookup)
    yield made
    made.answer.set()


def test_concurrent_requests_for_a_name_share_its_look_up(server: NameServer) -> None:
    resolver = Resolver()
    asking = [Asking(resolver, "silent.example", port=5000 + number) for number in range(20)]
    wait_until(lambda: len(resolver._lookups["silent.example"].wakers) == 20)
    server.answer.set()
    for number, one in enumerate(asking):
        assert one.result() == [
            (socket.AF_INET, (FOUND, 5000 + number)),
            (socket.AF_INET6, ("2001:db8::1", 5000 + number, 0, 0)),
        ]
    assert server.asked == {"silent.example": 1}
    assert not resolver._lookups


def test_the_next_attempt_joins_a_hanging_look_up(server: NameServer) -> None:
    resolver = Resolver()
    for _ in range(3):
        assert isinstance(Asking(resolver, "silent.example", limit_s=0.1).result(), ResolveTimeoutError)
    last = Asking(resolver, "silent.example")
    server.answer.set()
    assert isinstance(last.result(), list)
    assert server.asked == {"silent.example": 1}


def test_look_ups_are_limited_and_a_queued_request_fails_with_its_own_reason(server: NameServer) -> None:
    resolver = Resolver(max_lookups=4)
    hanging = [Asking(resolver, f"silent-{number}.example") for number in range(4)]
    wait_until(lambda: len(server.asked) == 4)
    assert isinstance(Asking(resolver, "well.example", limit_s=0.1).result(), ResolverBusyError)
    assert isinstance(Asking(resolver, "127.0.0.1").result(), list)  # needs no look-up
    waiting = Asking(resolver, "well.example")
    wait_until(lambda: len(resolver._waiting) == 1)
    server.answer.set()
    assert isinstance(waiting.result(), list)
    assert all(isinstance(one.result(), list) for one in hanging)
    assert (server.most, resolver._free, len(resolver._lookups)) == (4, 4, 0)


def test_a_cancelled_request_leaves_nothing_in_the_queue(server: NameServer) -> None:
    resolver = Resolver(max_lookups=1)
    hanging = Asking(resolver, "silent.example")
    wait_until(lambda: server.asked)
    waiting = Asking(resolver, "well.example")
    wait_until(lambda: len(resolver._waiting) == 1)
    waiting.stop()
    assert isinstance(waiting.result(), InterruptedWaitError)
    assert list(resolver._lookups) == ["silent.example"]
    server.answer.set()
    hanging.result()
    assert server.asked == {"silent.example": 1}


def test_names_that_hung_before_leave_threads_for_others(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(max_lookups=4)
    monkeypatch.setattr(resolver_module, "_SLOW_S", 0.0)
    server.answer.set()
    for number in range(4):
        Asking(resolver, f"silent-{number}.example").result()
    server.answer.clear()
    hanging = [Asking(resolver, f"silent-{number}.example") for number in range(4)]
    wait_until(lambda: len(resolver._waiting_slow) == 3)
    # They have a quarter of four threads; a name without earlier look-ups goes first.
    assert isinstance(Asking(resolver, "well.example").result(), list)
    server.answer.set()
    assert all(isinstance(one.result(), list) for one in hanging)
    assert (resolver._free, resolver._free_for_slow) == (4, 1)


def test_an_unknown_name_fails_all_requests_and_is_looked_up_again(server: NameServer) -> None:
    resolver = Resolver()
    for _ in range(2):
        assert isinstance(Asking(resolver, "unknown.example").result(), socket.gaierror)
    assert server.asked == {"unknown.example": 2}


def test_without_threads_there_are_no_look_ups_and_no_crash(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver()

    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(BackgroundThread, "start", refuse)
        assert isinstance(Asking(resolver, "well.example").result(), ResolverBusyError)
    assert isinstance(Asking(resolver, "well.example").result(), list)
    assert server.asked == {"well.example": 1}
