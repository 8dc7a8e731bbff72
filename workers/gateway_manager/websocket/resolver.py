"""Name resolution with a deadline: getaddrinfo itself cannot be interrupted."""

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

MAX_LOOKUPS = 512
_SLOW_S = 2.0
_MAX_REMEMBERED = 10_000


class ResolveTimeoutError(Exception):
    """The name server did not answer in time."""


class ResolverBusyError(Exception):
    """The name was not looked up in time: too many other lookups hang."""


class Resolver:
    """Lookups for all connections, each in its own thread. Any thread may call.

    Simultaneous requests for a name share one lookup. Lookups are bounded in number, and names that took long
    the last time share a quarter of them: a name server that does not answer delays its own names only. The
    threads are daemons: a lookup that hangs is left to the system's timeouts and delays no exit.
    """

    def __init__(self, max_lookups: int = MAX_LOOKUPS) -> None:
        self._lock = threading.Lock()
        self._free = max_lookups
        self._free_for_slow = max(1, max_lookups // 4)
        self._lookups: dict[str, _Lookup] = {}
        """Running and queued lookups, by name."""
        self._waiting: deque[_Lookup] = deque()
        self._waiting_slow: deque[_Lookup] = deque()
        self._slow: dict[str, None] = {}
        """Names whose last lookup took long."""

    def resolve(
        self, host: str, port: int, deadline: float, waker: Waker, interrupted: Callable[[], bool]
    ) -> list[Address]:
        """The addresses of a host, in the system's order.

        Raises OSError (socket.gaierror), ResolveTimeoutError, ResolverBusyError, InterruptedWaitError.
        """
        if _is_literal(host):
            return _with_port(_lookup(host, socket.AI_NUMERICHOST), port)
        asked_at = monotonic()
        lookup = self._join(host, waker)
        try:
            waker.wait(deadline, lambda: lookup.is_over or interrupted())
        except InterruptedWaitError:
            if not lookup.is_over:
                raise
        finally:
            self._leave(lookup, waker)
        if not lookup.is_over:
            # Either the name server took most of the time, or our own queue.
            raise ResolveTimeoutError if lookup.began_by((asked_at + deadline) / 2) else ResolverBusyError
        return _with_port(lookup.result(), port)

    def close(self) -> None:
        """Starts no more lookups."""
        with self._lock:
            self._waiting.clear()
            self._waiting_slow.clear()

    def _join(self, host: str, waker: Waker) -> "_Lookup":
        with self._lock:
            lookup = self._lookups.get(host)
            if lookup is None:
                lookup = self._lookups[host] = _Lookup(host, is_slow=host in self._slow)
                (self._waiting_slow if lookup.is_slow else self._waiting).append(lookup)
            lookup.wakers.append(waker)
            begun = self._begin_next()
        if begun is not None:
            self._start_thread(begun)
        return lookup

    def _leave(self, lookup: "_Lookup", waker: Waker) -> None:
        """Drops a lookup that has not started and that no thread waits for."""
        with self._lock:
            lookup.wakers.remove(waker)
            if not lookup.wakers and lookup.began_at is None:
                queue = self._waiting_slow if lookup.is_slow else self._waiting
                if lookup in queue:
                    queue.remove(lookup)
                if self._lookups.get(lookup.host) is lookup:
                    del self._lookups[lookup.host]

    def _start_thread(self, lookup: "_Lookup") -> None:
        begun: _Lookup | None = lookup
        while begun is not None:
            try:
                return BackgroundThread(partial(self._run, begun), f"resolver-{begun.host}").start()
            except RuntimeError:  # the limit on threads, or on memory
                begun = self._finish(begun, ResolverBusyError())
        return None

    def _run(self, first: "_Lookup") -> None:
        lookup: _Lookup | None = first
        while lookup is not None:
            try:
                outcome: _Outcome = _lookup(lookup.host, 0)
            except OSError as error:
                outcome = error
            except UnicodeError as error:
                outcome = OSError(str(error))
            lookup = self._finish(lookup, outcome)

    def _finish(self, lookup: "_Lookup", outcome: "_Outcome") -> "_Lookup | None":
        """Wakes the waiting threads; returns the next lookup, if one may begin."""
        with self._lock:
            self._free += 1
            self._free_for_slow += lookup.is_slow
            del self._lookups[lookup.host]
            self._slow.pop(lookup.host, None)
            if monotonic() - (lookup.began_at or 0.0) >= _SLOW_S:
                self._slow[lookup.host] = None
                if len(self._slow) > _MAX_REMEMBERED:
                    del self._slow[next(iter(self._slow))]
            lookup.outcome = outcome
            for waker in lookup.wakers:
                waker.wake()
            return self._begin_next()

    def _begin_next(self) -> "_Lookup | None":
        if not self._free:
            return None
        if self._waiting:
            lookup = self._waiting.popleft()
        elif self._waiting_slow and self._free_for_slow:
            lookup = self._waiting_slow.popleft()
        else:
            return None
        self._free -= 1
        self._free_for_slow -= lookup.is_slow
        lookup.began_at = monotonic()
        return lookup


_Outcome = list[Address] | OSError | ResolverBusyError


class _Lookup:
    """The lookup of one name, shared. Its fields change under the resolver's lock."""

    __slots__ = ("began_at", "host", "is_slow", "outcome", "wakers")

    def __init__(self, host: str, *, is_slow: bool) -> None:
        self.host = host
        self.is_slow = is_slow
        """Its last lookup took long."""
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


def _lookup(host: str, flags: int) -> list[Address]:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def _with_port(addresses: list[Address], port: int) -> list[Address]:
    return [(family, (address[0], port, *address[2:])) for family, address in addresses]
