"""Lines from standard input until it ends or a signal arrives."""

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from types import FrameType

LINE_BYTES_LIMIT = 1024 * 1024
CHUNK_BYTES = 65_536


@contextlib.contextmanager
def ending_signals() -> Iterator[socket.socket]:
    """Yield a socket that becomes readable on SIGTERM or SIGINT, which have no other effect meanwhile.

    Main thread only.
    """
    wake_reader, wake_writer = socket.socketpair()
    wake_writer.setblocking(False)

    def wake(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            wake_writer.send(b"!")

    former = {number: signal.signal(number, wake) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wake_reader
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        wake_reader.close()
        wake_writer.close()


def lines_until_end(source: int, wake: socket.socket) -> Iterator[str]:
    """Yield the lines of a file descriptor until it ends, `wake` is readable, or a line is over 1 MiB."""
    poll = select.poll()
    poll.register(source, select.POLLIN | select.POLLHUP)
    poll.register(wake.fileno(), select.POLLIN)
    rest = b""
    while len(rest) <= LINE_BYTES_LIMIT:
        # No timeout: the process only waits for commands; the end of input or a signal ends it.
        if wake.fileno() in {descriptor for descriptor, _ in poll.poll()}:
            return
        chunk = os.read(source, CHUNK_BYTES)
        if not chunk:
            return
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if line.strip():
                yield line.decode(errors="replace")
