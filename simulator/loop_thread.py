"""An event loop in its own thread, and calls into it from other threads."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")
CALL_TIMEOUT_S = 10.0
JOIN_TIMEOUT_S = 15.0
ACCEPT_TIMEOUT_S = 1.0


class LoopThread:
    """Owns one thread with one event loop, from construction to `stop`."""

    def __init__(self, name: str) -> None:
        self._running: Future[asyncio.AbstractEventLoop] = Future()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._loop = self._running.result(CALL_TIMEOUT_S)

    @property
    def is_alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def call(self, work: Coroutine[None, None, Result], timeout_s: float = CALL_TIMEOUT_S) -> Result:
        """Run a coroutine in the loop and return its result. Any thread but the loop's own.

        Raises TimeoutError, after cancelling it, when it takes longer; RuntimeError when the loop has ended.
        """
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            work.close()
            raise RuntimeError("the simulator has ended, or this is its own thread")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"the simulator did not do it within {timeout_s:g} s") from None

    def do(self, action: Callable[[], Result]) -> Result:
        """Run a function in the loop and return its result; as `call`."""

        async def work() -> Result:
            return action()

        return self.call(work())

    def stop(self) -> None:
        """End the loop and its thread, and cancel running tasks. No effect the second time."""
        if self._thread.is_alive() and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._stop = asyncio.Event()
        self._running.set_result(asyncio.get_running_loop())
        await self._stop.wait()
        # Connections in a TLS handshake end by themselves; if cancelled, they would stay open.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=ACCEPT_TIMEOUT_S)
