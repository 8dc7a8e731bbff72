"""The faults of a session whose WebSocket is open. Used in the site's event loop only."""

import asyncio
from collections.abc import AsyncIterator, Coroutine

from simulator.connection.connection import BACKLOG_BYTES_LIMIT, SimulatedConnection
from simulator.faults import MIB, Fault, FaultPlan, frame_header, text_frame
from simulator.messages import encode, outgoing

CHUNK_BYTES = 16 * 1024
CHUNKS_PER_S = 50
HUGE_FRAME_BYTES = 64 * MIB
FLOOD_TICK_S = 0.01


class FaultInjection:
    """The fault of one session, or none. `stop` ends a running fault."""

    def __init__(self, connection: SimulatedConnection, plan: FaultPlan | None) -> None:
        self.kind = None if plan is None else plan.kind
        self._connection = connection
        self._plan = plan
        self._task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End a running dribble, stream or flood."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Send the plan's close frame."""
        if self._plan is not None:
            self._connection.begin_close(self._plan.code, "as configured")

    def replaces_login_answer(self) -> bool:
        """Send garbage instead of the answer to the login, if the plan says so."""
        if self._plan is None or not self._plan.instead_of_login():
            return False
        self._send_garbage(self._plan)
        return True

    def after_login(self) -> None:
        """Inject the plan's fault after an accepted login."""
        if self.kind is Fault.CLOSE_AFTER_LOGIN:
            self.close()
        elif self.kind is Fault.RESET_AFTER_LOGIN:
            self._run(self._reset_when_sent())
        elif self.kind is Fault.UNKNOWN_TYPE:
            self._connection.push(encode(outgoing("NOT_DYN_AURA", {"Serial": 1, "Colour": "green"})))

    def after_subscription(self) -> None:
        """Inject the plan's fault after the subscription."""
        if self._plan is None or not self._plan.after_subscription():
            return
        if self.kind is Fault.FLOOD:
            self._run(self._flood(self._plan.messages_per_s))
        else:
            self._send_garbage(self._plan)

    def dribble(self, text: str) -> None:
        """Send a text frame one byte at a time. Pongs are withheld: they would land inside it."""
        if self._plan is not None:
            self._run(self._dribble(text_frame(text.encode()), self._plan.byte_interval_s))

    def _send_garbage(self, plan: FaultPlan) -> None:
        connection = self._connection
        match plan.kind:
            case Fault.NOT_JSON:
                connection.push("{this is not JSON")
            case Fault.JSON_ARRAY:
                connection.push('["RTN_LOGIN", {"Success": true}]')
            case Fault.BINARY_FRAME:
                connection.push(bytes(range(256)))
            case Fault.BAD_UTF8:
                connection.write_raw(text_frame(b'{"Type":"NOT_DYN_TEMP","Data":"\xff\xfe\xc0"}'))
            case Fault.HALF_FRAME:
                frame = text_frame(encode(outgoing("NOT_DYN_TEMP", {"Padding": "x" * 1000})).encode())
                connection.fall_silent()
                connection.write_raw(frame[: len(frame) // 2])
            case Fault.HUGE_FRAME:
                connection.fall_silent()
                self._run(self._stream(plan.size_bytes or HUGE_FRAME_BYTES))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.create_task(work)

    async def _reset_when_sent(self) -> None:
        # A reset discards unsent bytes, and the login's answer has to arrive.
        while self._connection.backlog_bytes:
            await asyncio.sleep(FLOOD_TICK_S)
        self._connection.reset()

    async def _dribble(self, frame: bytes, byte_interval_s: float) -> None:
        withheld, self._connection.withholds_pongs = self._connection.withholds_pongs, True
        left = memoryview(frame)
        async for _ in self._ticks(byte_interval_s):
            self._connection.write_raw(bytes(left[:1]))
            left = left[1:]
            if not left:
                break
        self._connection.withholds_pongs = withheld

    async def _stream(self, size_bytes: int) -> None:
        self._connection.write_raw(frame_header(0x1, size_bytes))
        left_bytes = size_bytes
        async for _ in self._ticks(1 / CHUNKS_PER_S):
            chunk_bytes = min(CHUNK_BYTES, left_bytes)
            self._connection.write_raw(b"x" * chunk_bytes)
            left_bytes -= chunk_bytes
            if not left_bytes:
                return

    async def _flood(self, messages_per_s: int) -> None:
        loop = asyncio.get_running_loop()
        data = {"ID": 1, "Serial": "1000001", "Time": "2020-01-01 00:00", "Temp": 40}
        text = encode(outgoing("NOT_DYN_TEMP", data))
        sent, began = 0, loop.time()
        async for _ in self._ticks(FLOOD_TICK_S):
            due = int((loop.time() - began) * messages_per_s)
            for _ in range(min(due - sent, messages_per_s)):
                self._connection.push(text)
            sent = due

    async def _ticks(self, interval_s: float) -> AsyncIterator[None]:
        """Yield at that interval, but not while the gateway is frozen or the client reads too slowly."""
        connection = self._connection
        while not connection.has_ended:
            if not connection.is_frozen and connection.backlog_bytes < BACKLOG_BYTES_LIMIT:
                yield
            await asyncio.sleep(interval_s)
