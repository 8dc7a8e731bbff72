"""One connection below the WebSocket protocol: freezing, cutting, raw bytes.

Used in the site's event loop only. Everything here takes effect immediately, without awaiting, so that a
gateway sees sessions begin and end in the order in which they did.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import CONNECTING, OPEN, Event

from simulator.counters import Side
from simulator.faults import FaultPlan
from simulator.gateway_state import GatewayState

HELD_BYTES_LIMIT = 1024 * 1024
BACKLOG_BYTES_LIMIT = 1024 * 1024
FINAL_PONG = 0x8A


class Ended(Protocol):
    """Called once when an open WebSocket ends: which side ended it, close code and reason."""

    def __call__(self, by: Side, code: int, reason: str) -> None: ...


class SimulatedConnection(ServerConnection):
    """A server connection that can be frozen, cut, and made to write raw bytes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gateway_state: GatewayState | None = None
        self.plan: FaultPlan | None = None
        self.withholds_pongs = False
        self.upgrade_bytes_sent = 0
        self.on_made: Callable[[SimulatedConnection], None] | None = None
        self.on_lost: Callable[[SimulatedConnection], None] | None = None
        self.on_end: Ended | None = None
        self._ended = False
        self._frozen = False
        self._silent = False
        self._held = bytearray()
        self._on_message: Callable[[str | bytes], None] | None = None
        self._early: list[Frame] = []
        self._message = bytearray()
        self._message_is_text = True
        self._abort_timer: asyncio.TimerHandle | None = None

    def deliver_to(self, on_message: Callable[[str | bytes], None]) -> None:
        """Pass each message to `on_message` as soon as it is read, earlier ones included."""
        self._on_message = on_message
        early, self._early = self._early, []
        for frame in early:
            self._assemble(frame)

    # Actions.

    def push(self, message: str | bytes) -> bool:
        """Send one message; return False if it is not open, frozen, or the client does not read."""
        if not self.is_talking or self.backlog_bytes > BACKLOG_BYTES_LIMIT:
            return False
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self.send_data()
        return True

    def write_raw(self, data: bytes) -> None:
        """Write raw bytes; do nothing once the connection has started to close."""
        if not (self._ended or self.transport.is_closing()):
            self.transport.write(data)

    def freeze(self) -> None:
        """Read and answer nothing until `thaw`. Input is held back; the end of TCP is still noticed."""
        self._frozen = True

    def thaw(self) -> None:
        """Undo `freeze` and handle the held input."""
        self._frozen = False
        if self._silent or self.transport.is_closing():
            return
        held = bytes(self._held)
        self._held.clear()
        self.transport.resume_reading()
        if held:
            self.data_received(held)

    def fall_silent(self) -> None:
        """Freeze permanently: half a frame was sent, so no valid frame can follow."""
        self._silent = True

    def begin_close(self, code: int, reason: str = "") -> bool:
        """Send a close frame, to be answered within `close_timeout` seconds; return False if not open."""
        if self.protocol.state is not OPEN:
            return False
        self._end("gateway", code, reason)
        self.protocol.send_close(code, reason)
        self.send_data()
        return True

    def reset(self) -> None:
        """Reset TCP; unsent and unread bytes are lost."""
        self._end("gateway", CloseCode.ABNORMAL_CLOSURE)
        raw_socket = self.transport.get_extra_info("socket")
        # Under TLS the socket can close one loop iteration before this connection is notified.
        if raw_socket is not None:
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def finish(self) -> None:
        """End TCP with FIN, without a close frame."""
        self._end("gateway", CloseCode.ABNORMAL_CLOSURE)
        self.transport.close()

    @property
    def has_ended(self) -> bool:
        """Whether either side has started to close this connection."""
        return self._ended

    @property
    def is_frozen(self) -> bool:
        """Whether the gateway is frozen, so that nothing may be sent."""
        return self._frozen

    @property
    def is_talking(self) -> bool:
        """Whether messages can be sent now."""
        return self.protocol.state is OPEN and not (self._ended or self._frozen or self._silent)

    @property
    def backlog_bytes(self) -> int:
        """Bytes written that the client has not read yet."""
        return self.transport.get_write_buffer_size()

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.on_made is not None:
            self.on_made(self)

    def data_received(self, data: bytes) -> None:
        if self._frozen or self._silent:
            self._held += data
            if len(self._held) > HELD_BYTES_LIMIT:
                self.transport.pause_reading()
            return
        super().data_received(data)
        if self.protocol.state not in (CONNECTING, OPEN):
            self._end_by_protocol()

    def process_event(self, event: Event) -> None:
        # The library passes data frames to a separate task; a session has to see them and the end of the
        # connection in the order of arrival.
        if self.request is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif self._on_message is None:
            self._early.append(event)
        else:
            self._assemble(event)

    def eof_received(self) -> None:
        self._end("client", CloseCode.ABNORMAL_CLOSURE)
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("client", CloseCode.ABNORMAL_CLOSURE)
        super().connection_lost(exc)
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if self.on_lost is not None:
            self.on_lost(self)

    def send_data(self) -> None:
        writes = self.protocol.writes
        if self.withholds_pongs:
            writes[:] = [data for data in writes if not data or data[0] != FINAL_PONG]
        if self.upgrade_bytes_sent and writes:
            writes[0] = writes[0][self.upgrade_bytes_sent :]
            self.upgrade_bytes_sent = 0
        super().send_data()

    def _assemble(self, frame: Frame) -> None:
        if self._ended or self._on_message is None:
            return
        if frame.opcode is not Opcode.CONT:
            self._message_is_text = frame.opcode is Opcode.TEXT
        self._message += frame.data
        if not frame.fin:
            return
        message = bytes(self._message)
        self._message.clear()
        try:
            self._on_message(message.decode() if self._message_is_text else message)
        except UnicodeDecodeError:
            self._violated("a text frame that is not UTF-8")
            self.begin_close(CloseCode.INVALID_DATA)

    def _end_by_protocol(self) -> None:
        """Record an end by a close frame, or by the library after a broken frame."""
        received, sent = self.protocol.close_rcvd, self.protocol.close_sent
        if received is not None:
            self._end("client", received.code, received.reason)
        elif sent is not None:
            if not self._ended:
                self._violated(f"a broken frame: {sent.reason}")
            self._end("gateway", sent.code, sent.reason)

    def _violated(self, what: str) -> None:
        if self.gateway_state is not None:
            self.gateway_state.counters.violated(what)

    def _end(self, by: Side, code: int, reason: str = "") -> None:
        if self._ended:
            return
        self._ended = True
        self._abort_timer = self.loop.call_later(self.close_timeout or 1.0, self.transport.abort)
        if self.on_end is not None:
            self.on_end(by, code, reason)
