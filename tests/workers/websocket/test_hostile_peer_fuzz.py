"""The WebSocket transport with random input: garbage, broken and valid frames, cut anywhere.

Another implementation decides which messages the input has. There is no server and no second thread: the
transport's interruption check sends it the next piece. So each run is reproducible and ends with the pieces.
"""

import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from service.gateway_states import Phase, Reason, ReasonCode
from tests.support.raw_server import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame
from tests.support.worker_settings import worker_config
from workers.gateway_manager.states import ConnectionFailedError
from workers.gateway_manager.websocket.bounded_websocket import BoundedWebSocket
from workers.gateway_manager.websocket.stream import Stream
from workers.gateway_manager.websocket.transport import Kind, Transport
from workers.gateway_manager.websocket.waker import WakerFactory

pytestmark = pytest.mark.req("ORCH-06")
SETTINGS = worker_config(
    "postgresql://nobody@127.0.0.1:1/x", PING_INTERVAL_S="9", LIVENESS_TIMEOUT_S="10"
).session
DATA = {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}
ENDS = {
    ReasonCode.CLOSED_BY_GATEWAY,
    ReasonCode.CONNECTION_LOST,
    ReasonCode.PROTOCOL_ERROR,
    ReasonCode.MESSAGE_TOO_BIG,
}


class Run:
    """A transport that receives these pieces, then the end of the connection, until it fails."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.chunks = [chunk for chunk in reversed(chunks) if chunk]
        self.turns = 0
        self.messages: list[bytes] = []
        self.controls = 0
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        waker = WakerFactory().make()
        stream = Stream(ours, waker, self.feed)
        transport = Transport(stream, BoundedWebSocket(stream, SETTINGS.max_message_bytes), SETTINGS)
        try:
            self.reason = self.converse(transport)
        finally:
            transport.abort()
            self.theirs.close()
            waker.close()

    def feed(self) -> bool:
        """Send the next piece; the transport calls it at each turn as its interruption check."""
        self.turns += 1
        if self.chunks:
            chunk = self.chunks.pop()
            with suppress(BlockingIOError):  # a piece that does not fit is sent later
                chunk = chunk[self.theirs.send(chunk) :]
            if chunk:
                self.chunks.append(chunk)
        elif self.theirs.fileno() >= 0:
            self.theirs.shutdown(socket.SHUT_WR)
        return False

    def converse(self, transport: Transport) -> Reason:
        """Receive until the transport fails, as it must."""
        while True:
            try:
                received = transport.receive(monotonic() + 5, Phase.SESSION)
            except ConnectionFailedError as failure:
                return failure.reason
            assert received is not None, "it waited in vain"
            if received.kind is Kind.MESSAGE:
                self.messages.append(received.payload)
            else:
                self.controls += 1


def parsed_by_websockets(data: bytes) -> list[bytes]:
    """Return a server's text messages up to the first error, as parsed by the library `websockets`."""
    protocol = ClientProtocol(parse_uri("ws://gateway/"), state=State.OPEN, max_size=None)
    protocol.receive_data(data)
    messages: list[bytes] = []
    pieces: list[bytes] = []
    is_text = True
    for event in protocol.events_received():
        if not isinstance(event, Frame) or event.opcode not in DATA:
            continue
        if event.opcode is not Opcode.CONT:
            is_text = event.opcode is Opcode.TEXT
        pieces.append(bytes(event.data))
        if event.fin and not is_text:
            break
        if event.fin:
            messages.append(b"".join(pieces))
            pieces = []
    return messages


def check(data: bytes, cuts: Sequence[int]) -> Run:
    """Send the data to the transport in pieces and compare the messages."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    run = Run(chunks)
    assert run.reason.code in ENDS, run.reason
    assert run.reason.message.isprintable()
    # Each turn sends a piece or receives something; a few more are for the ends.
    worth = len(chunks) + len(run.messages) + run.controls + len(data) // 4096
    assert run.turns <= 3 * worth + 10
    # We reject a control frame with an extended length; the other library accepts it.
    if "too long" not in run.reason.message:
        assert run.messages == parsed_by_websockets(data)
    return run


small = (
    st.binary(max_size=8) | st.integers(120, 140).map(bytes) | st.sampled_from([b"x" * 65535, b"x" * 65536])
)
opcodes = st.sampled_from([TEXT] * 4 + [CONT] * 4 + [BINARY, CLOSE, PING, PONG, 3, 15])
any_frame = st.builds(
    frame, opcodes, small, fin=st.sampled_from([0, 1]), reserved=st.sampled_from([0] * 20 + [1, 2, 4])
)
controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125))


@st.composite
def valid_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Generate a server's valid messages in frames with pings between them, and a close."""
    messages, data = draw(st.lists(st.binary(max_size=300), max_size=5)), b""
    for message in messages:
        cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=4)))
        edges = [0, *cuts, len(message)]
        for number, (start, end) in enumerate(pairwise(edges)):
            data += b"".join(draw(st.lists(controls, max_size=2)))
            data += frame(CONT if number else TEXT, message[start:end], fin=int(number == len(cuts)))
    return data + close_frame(1000), messages


cuts_anywhere = st.lists(st.integers(1, 2000), max_size=20)


@given(valid_streams(), cuts_anywhere)
@settings(max_examples=150, deadline=None)
def test_valid_streams_arrive_completely(stream: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    data, messages = stream
    run = check(data, cuts)
    assert run.messages == messages
    assert run.reason.code is ReasonCode.CLOSED_BY_GATEWAY


@given(st.lists(any_frame, max_size=12).map(b"".join), cuts_anywhere)
@settings(max_examples=250, deadline=None)
def test_frames_of_any_kind_in_any_order(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@given(st.binary(max_size=200), cuts_anywhere)
@settings(max_examples=250, deadline=None)
def test_random_bytes(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@pytest.mark.parametrize("seed", range(6))
def test_valid_frames_with_a_few_bytes_changed(seed: int) -> None:
    random_fraction = random.Random(seed)
    frames = 0
    while frames < 2000:
        data = bytearray()
        for _ in range(random_fraction.randrange(1, 40)):
            data += frame(
                random_fraction.choice([TEXT, PING, PONG]),
                random_fraction.randbytes(random_fraction.choice([0, 3, 125])),
            )
            data += frame(TEXT, b"begun", fin=0) + frame(PING) + frame(CONT, random_fraction.randbytes(130))
            frames += 4
        for _ in range(random_fraction.randrange(4)):
            data[random_fraction.randrange(len(data))] = random_fraction.randrange(256)
        check(
            bytes(data), [random_fraction.randrange(len(data)) for _ in range(random_fraction.randrange(30))]
        )
