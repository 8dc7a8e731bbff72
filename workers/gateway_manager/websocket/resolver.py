"""Name resolution that can be waited for with a deadline: getaddrinfo itself can not be interrupted."""

import ipaddress
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from service.threads import BackgroundThread
from workers.gateway_manager.websocket.waker import InterruptedWaitError, Waker

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family and what connect() takes."""

MAX_LOOK_UPS = 512
_SLOW_S = 2.0
_MAX_REMEMBERED = 10_000


class ResolveTimeoutError(Exception):
    """The name server did not answer in time."""


class ResolverBusyError(Exception):
    """The name was not looked up, or too late to tell: too many other look-ups hang."""


class Resolver:
    """Look-ups for all connections, each in a thread of its own while it lasts. Any thread may call.

    All who want a name at the same time share one look-up of it. Look-ups are bounded in number; names that
    took long the last time have a quarter of that: a name server that does not answer costs its own names.
    The threads are daemons: a look-up that hangs is left to the system's time-outs and delays no exit.
    """

    def __init__(self, max_look_ups: int = MAX_LOOK_UPS) -> None:
        self._lock = threading.Lock()
        self._free = max_look_ups
        self._free_for_slow = max(1, max_look_ups // 4)
        self._look_ups: dict[str, _LookUp] = {}
        """Under way or waiting for their turn, by name."""
        self._waiting: deque[_LookUp] = deque()
        self._waiting_slow: deque[_LookUp] = deque()
        self._slow: dict[str, None] = {}
        """Names whose last look-up took long."""

    def resolve(
        self, host: str, port: int, deadline: float, waker: Waker, interrupted: Callable[[], bool]
    ) -> list[Address]:
        """The addresses of a host, in the system's order.

        Raises OSError (socket.gaierror), ResolveTimeoutError, ResolverBusyError, InterruptedWaitError.
        """
        if _is_literal(host):
            return _with_port(_look_up(host, socket.AI_NUMERICHOST), port)
        asked_at = monotonic()
        look_up = self._join(host, waker)
        try:
            waker.wait(deadline, lambda: look_up.is_over or interrupted())
        except InterruptedWaitError:
            if not look_up.is_over:
                raise
        finally:
            self._leave(look_up, waker)
        if not look_up.is_over:
            # The name server has had most of the time, or it was our own queue that took it.
            raise ResolveTimeoutError if look_up.began_by((asked_at + deadline) / 2) else ResolverBusyError
        return _with_port(look_up.result(), port)

    def close(self) -> None:
        """Begins no look-up any more."""
        with self._lock:
            self._waiting.clear()
            self._waiting_slow.clear()

    def _join(self, host: str, waker: Waker) -> "_LookUp":
        with self._lock:
            look_up = self._look_ups.get(host)
            if look_up is None:
                look_up = self._look_ups[host] = _LookUp(host, is_slow=host in self._slow)
                (self._waiting_slow if look_up.is_slow else self._waiting).append(look_up)
            look_up.wakers.append(waker)
            begun = self._begin_next()
        if begun is not None:
            self._start_thread(begun)
        return look_up

    def _leave(self, look_up: "_LookUp", waker: Waker) -> None:
        """What nobody waits for any more and has not begun is not begun at all."""
        with self._lock:
            look_up.wakers.remove(waker)
            if not look_up.wakers and look_up.began_at is None:
                queue = self._waiting_slow if look_up.is_slow else self._waiting
                if look_up in queue:
                    queue.remove(look_up)
                if self._look_ups.get(look_up.host) is look_up:
                    del self._look_ups[look_up.host]

    def _start_thread(self, look_up: "_LookUp") -> None:
        begun: _LookUp | None = look_up
        while begun is not None:
            try:
                return BackgroundThread(partial(self._run, begun), f"resolver-{begun.host}").start()
            except RuntimeError:  # the limit on threads, or on memory
                begun = self._finish(begun, ResolverBusyError())
        return None

    def _run(self, first: "_LookUp") -> None:
        look_up: _LookUp | None = first
        while look_up is not None:
            try:
                outcome: _Outcome = _look_up(look_up.host, 0)
            except OSError as error:
                outcome = error
            except UnicodeError as error:
                outcome = OSError(str(error))
            look_up = self._finish(look_up, outcome)

    def _finish(self, look_up: "_LookUp", outcome: "_Outcome") -> "_LookUp | None":
        """Tells those who wait; the next look-up, if one may begin."""
        with self._lock:
            self._free += 1
            self._free_for_slow += look_up.is_slow
            del self._look_ups[look_up.host]
            self._slow.pop(look_up.host, None)
            if monotonic() - (look_up.began_at or 0.0) >= _SLOW_S:
                self._slow[look_up.host] = None
                if len(self._slow) > _MAX_REMEMBERED:
                    del self._slow[next(iter(self._slow))]
            look_up.outcome = outcome
            for waker in look_up.wakers:
                waker.wake()
            return self._begin_next()

    def _begin_next(self) -> "_LookUp | None":
        if not self._free:
            return None
        if self._waiting:
            look_up = self._waiting.popleft()
        elif self._waiting_slow and self._free_for_slow:
            look_up = self._waiting_slow.popleft()
        else:
            return None
        self._free -= 1
        self._free_for_slow -= look_up.is_slow
        look_up.began_at = monotonic()
        return look_up


_Outcome = list[Address] | OSError | ResolverBusyError


class _LookUp:
    """One name, for all who want it. Its fields change under the resolver's lock."""

    __slots__ = ("began_at", "host", "is_slow", "outcome", "wakers")

    def __init__(self, host: str, *, is_slow: bool) -> None:
        self.host = host
        self.is_slow = is_slow
        """Its last look-up took long."""
        self.began_at: float | None = None
        self.outcome: _Outcome | None = None
        self.wakers: list[Waker] = []

    @property
    def is_over(self) -> bool:
        """Whether there is a result."""
        return self.outcome is not None

    def began_by(self, time: float) -> bool:
        """Whether it was under way then."""
        return self.began_at is not None and self.began_at <= time

    def result(self) -> list[Address]:
        """The addresses. Raises OSError, ResolverBusyError."""
        if isinstance(self.outcome, list):
            return self.outcome
        raise self.outcome or ResolverBusyError


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, flags: int) -> list[Address]:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def _with_port(addresses: list[Address], port: int) -> list[Address]:
    return [(family, (address[0], port, *address[2:])) for family, address in addresses]
