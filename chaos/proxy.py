"""A TCP proxy on loopback whose faults are switched while it runs: what a network does to a connection."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

from simulator.loop_thread import LoopThread

CHUNK_BYTES = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Mode(Enum):
    """What becomes of bytes and ends of connections, open and new ones alike."""

    OPEN = "open"  # everything goes through
    DROP = "drop"  # nothing does, in either direction, no end either: a network that went dark
    STALL = "stall"  # of the server's next piece the first half does, then nothing: a frame cut in two
    DRIBBLE = "dribble"  # what the server says does, a byte at a time
    RESET = "reset"  # every connection is reset


class Proxy:
    """Owns one thread. What a mode holds back goes through when it is over. Any thread may call."""

    def __init__(self, server_port: int, byte_interval_s: float = 0.5) -> None:
        """Listens at once, on any free `port`. `byte_interval_s` is for DRIBBLE."""
        self._server_port = server_port
        self._byte_interval_s = byte_interval_s
        self._mode = Mode.OPEN
        self._switched = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = listening.getsockname()[1]
        self._loop = LoopThread(f"proxy-{self.port}")
        self._server = self._loop.call(asyncio.start_server(self._serve, sock=listening))

    @property
    def connections(self) -> int:
        """How many connections from clients are open."""
        return self._loop.do(lambda: len(self._tasks))

    def switch(self, mode: Mode) -> None:
        """Counts from when it returns."""
        self._loop.do(lambda: self._switch(mode))

    def close(self) -> None:
        """Resets all connections, frees the port, ends the thread. No effect the second time."""
        if self._loop.is_alive:
            self._loop.do(self._end)
            self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # From here on: the proxy's own thread.

    def _switch(self, mode: Mode) -> None:
        self._mode = mode
        self._switched.set()
        self._switched = asyncio.Event()
        if mode is Mode.RESET:
            self._reset_all()

    def _end(self) -> None:
        self._server.close()
        self._reset_all()
        for task in self._tasks:
            task.cancel()

    def _reset_all(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._tasks.add(task)
        writers = [writer]
        self._writers.add(writer)
        try:
            await self._until(lambda: self._mode is not Mode.DROP)
            if self._mode is not Mode.RESET:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
                writers.append(far_writer)
                self._writers.add(far_writer)
                to_server = self._pump(reader, far_writer, from_server=False)
                await asyncio.gather(to_server, self._pump(far_reader, writer, from_server=True))
        except OSError:
            # One side was reset: that goes through as well, unless nothing does.
            with contextlib.suppress(asyncio.CancelledError):
                await self._until(lambda: self._mode is not Mode.DROP)
        except asyncio.CancelledError:
            pass  # the proxy is closed; asyncio would complain of a connection that ends so
        finally:
            for each in writers:
                _reset(each)
            self._writers.difference_update(writers)
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool
    ) -> None:
        while piece := await reader.read(CHUNK_BYTES):
            await self._forward(piece, writer, from_server=from_server)
        await self._until(lambda: self._mode not in {Mode.DROP, Mode.STALL})
        if writer.can_write_eof():
            writer.write_eof()

    async def _forward(self, piece: bytes, writer: asyncio.StreamWriter, *, from_server: bool) -> None:
        has_stalled = False
        while piece:
            mode = self._mode
            share_bytes = 0
            if mode is Mode.OPEN or (not from_server and mode in {Mode.STALL, Mode.DRIBBLE}):
                share_bytes = len(piece)
            elif mode is Mode.DRIBBLE:
                share_bytes = 1
            elif mode is Mode.STALL and not has_stalled:
                share_bytes, has_stalled = (len(piece) + 1) // 2, True
            writer.write(piece[:share_bytes])
            await writer.drain()
            piece = piece[share_bytes:]
            if piece and mode is Mode.DRIBBLE:
                await asyncio.sleep(self._byte_interval_s)
            elif piece and mode is self._mode:
                await self._switched.wait()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._switched.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw_socket = writer.get_extra_info("socket")
    if raw_socket is not None and raw_socket.fileno() >= 0:
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
