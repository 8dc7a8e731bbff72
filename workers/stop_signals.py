"""Turns SIGTERM and SIGINT into calls on a thread."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from service.threads import BackgroundThread

_END_LIMIT_S = 1.0


@contextmanager
def stop_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """Each SIGTERM or SIGINT calls `request_stop`, in a thread. For the main thread; raises NoThreadError.

    A handler interrupts the main thread, which may hold a lock that the handler would wait for, so this one
    takes none. Afterwards the signals have no effect: the process is ending.
    """
    # Its `put` is reentrant, unlike that of a Queue.
    arrived: SimpleQueue[bool] = SimpleQueue()

    def pass_on() -> None:
        while arrived.get():
            request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: arrived.put(True))
    thread = BackgroundThread(pass_on, "stop-signals")
    thread.start()
    try:
        yield
    finally:
        arrived.put(False)
        thread.join(_END_LIMIT_S)
