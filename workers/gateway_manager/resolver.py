"""Name resolution that can be waited for with a deadline: getaddrinfo itself can not be interrupted."""

import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from workers.gateway_manager.waker import InterruptedWaitError, Waker

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family and what connect() takes."""

_Task = tuple[Future[list[Address]], str, int]


class ResolveTimeoutError(Exception):
    """The name server did not answer in time."""


class Resolver:
    """A few threads that resolve names for all connections. Any thread may call.

    The threads are daemons: a look-up that hangs is left to the system's time-outs and delays no exit.
    """

    def __init__(self, threads: int = 8) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"resolver-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def resolve(
        self, host: str, port: int, deadline: float, waker: Waker, interrupted: Callable[[], bool]
    ) -> list[Address]:
        """The addresses of a host, in the system's order.

        Raises OSError (socket.gaierror), ResolveTimeoutError, InterruptedWaitError.
        """
        if _is_literal(host):
            return _look_up(host, port, socket.AI_NUMERICHOST)
        future: Future[list[Address]] = Future()
        future.add_done_callback(lambda _: waker.wake())
        self._tasks.put((future, host, port))
        try:
            waker.wait(deadline, lambda: future.done() or interrupted())
        except InterruptedWaitError:
            if not future.done():
                future.cancel()
                raise
        if not future.done():
            future.cancel()
            raise ResolveTimeoutError
        return future.result()

    def close(self) -> None:
        """Ends the threads once their look-ups are over."""
        for _ in self._threads:
            self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, host, port = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(_look_up(host, port, 0))
                except (OSError, UnicodeError) as error:
                    future.set_exception(OSError(str(error)) if isinstance(error, UnicodeError) else error)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int, flags: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]
