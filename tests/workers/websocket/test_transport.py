"""A transport stops immediately in every phase and rejects broken frames."""

import base64
import gc
import hashlib
import socket
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from time import monotonic

import pytest
from websocket import ABNF

from service.gateway_states import Phase, ReasonCode
from tests.support.waiting import wait_until
from tests.support.worker_settings import worker_config
from workers.gateway_manager.states import ConnectionFailedError
from workers.gateway_manager.websocket import resolver as resolver_module
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.resolver import Address, Resolver
from workers.gateway_manager.websocket.transport import Kind, Received, Transport
from workers.gateway_manager.websocket.waker import InterruptedWaitError, Waker, WakerFactory

SETTINGS = worker_config(
    "postgresql://nobody@127.0.0.1:1/x",
    TCP_TIMEOUT_S="10",
    UPGRADE_TIMEOUT_S="10",
    PING_INTERVAL_S="9",
    LIVENESS_TIMEOUT_S="10",
    MAX_MESSAGE_BYTES="4096",
).session
# The promise is 50 ms; a busy machine gets more.
REACTION_S = 0.25
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def text(payload: bytes, *, first: int = 0x81) -> bytes:
    """Encode a short server frame."""
    return bytes([first, len(payload)]) + payload


class RawServer:
    """Accepts one client, answers its upgrade correctly, and then sends the given bytes."""

    def __init__(self, *, answers: bool = True) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.is_asked = threading.Event()
        self._answers = answers
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            client.settimeout(10)
            request = b""
            while b"\r\n\r\n" not in request:
                request += client.recv(4096)
            self._client = client
            if self._answers:
                key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
                accept = base64.b64encode(hashlib.sha1(key + GUID).digest())  # noqa: S324 - RFC 6455
                client.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
            self.is_asked.set()

    def send(self, data: bytes) -> None:
        """Send raw bytes to the client."""
        assert self.is_asked.wait(5)
        assert self._client is not None
        self._client.sendall(data)

    def receive(self) -> bytes:
        """Return the client's next bytes; none at the end."""
        assert self._client is not None
        return self._client.recv(65536)

    def close(self) -> None:
        """Frees everything."""
        self._listener.close()
        self._thread.join(5)
        if self._client is not None:
            self._client.close()


@pytest.fixture
def server() -> Iterator[RawServer]:
    with closing(RawServer()) as raw:
        yield raw


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.close()


@dataclass
class Client:
    """A transport's owner."""

    resolver: Resolver
    waker: Waker = field(default_factory=lambda: WakerFactory().make())
    told_to_stop: bool = False

    def dial(self, url: str) -> Transport:
        return Dialer(self.resolver, SETTINGS).dial(url, self.waker, lambda: self.told_to_stop)

    def stop(self) -> None:
        self.told_to_stop = True
        self.waker.wake()

    def reaction_s(self, work: Callable[[], object], is_under_way: Callable[[], object]) -> float:
        """Start work in a thread, stop it once it is in progress, and return how long the end took."""
        ended: list[BaseException | None] = []

        def run() -> None:
            try:
                work()
                ended.append(None)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                ended.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_until(is_under_way)
        assert not ended
        began = monotonic()
        self.stop()
        thread.join(5)
        assert [type(error) for error in ended] == [InterruptedWaitError]
        return monotonic() - began


@pytest.fixture
def client(resolver: Resolver) -> Iterator[Client]:
    made = Client(resolver)
    yield made
    made.waker.close()


@pytest.fixture
def transport(client: Client, server: RawServer) -> Iterator[Transport]:
    opened = client.dial(server.url)
    yield opened
    opened.abort()


def receive(transport: Transport) -> Received | None:
    return transport.receive(monotonic() + 5, Phase.SESSION)


# Stopping.

STOPS = pytest.mark.req("LIFECYCLE-03")


@STOPS
def test_stop_while_a_name_is_resolved(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(_host: str, _flags: int) -> list[Address]:
        asked.set()
        answer.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(resolver_module, "_lookup", hang)
    assert client.reaction_s(lambda: client.dial("ws://gateway.example:5000"), asked.is_set) < REACTION_S
    answer.set()


@STOPS
def test_stop_while_a_host_does_not_answer(client: Client) -> None:
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        polling = threading.Event()
        wake_fd = client.waker.fileno
        client.waker.fileno = lambda: (polling.set(), wake_fd())[1]  # type: ignore[method-assign,func-returns-value]
        assert client.reaction_s(lambda: client.dial(url), polling.is_set) < REACTION_S


@STOPS
@pytest.mark.parametrize("dribbles", [False, True], ids=["silent", "dribbled"])
def test_stop_during_the_upgrade(client: Client, dribbles: bool) -> None:
    with closing(RawServer(answers=False)) as server:

        def is_under_way() -> bool:
            if server.is_asked.is_set() and dribbles:
                server.send(b"HTTP/1.1 101 Sw")
            return server.is_asked.is_set()

        assert client.reaction_s(lambda: client.dial(server.url), is_under_way) < REACTION_S


@STOPS
@pytest.mark.parametrize("part", [b"", b"\x81", b"\x81\x7e\x01", b"\x81\x10half"])
def test_stop_while_receiving(client: Client, server: RawServer, transport: Transport, part: bytes) -> None:
    server.send(part)
    assert client.reaction_s(lambda: receive(transport), server.is_asked.is_set) < REACTION_S


@STOPS
def test_stop_while_sending_to_a_peer_that_does_not_read(client: Client, transport: Transport) -> None:
    sent = threading.Event()

    def flood() -> None:
        while True:
            transport.send_text("x" * 1_000_000, Phase.SESSION)
            sent.set()

    assert client.reaction_s(flood, sent.is_set) < REACTION_S


@STOPS
def test_stop_during_a_pause(client: Client) -> None:
    pausing = threading.Event()

    def pause() -> None:
        pausing.set()
        client.waker.wait(monotonic() + 60, lambda: client.told_to_stop)

    assert client.reaction_s(pause, pausing.is_set) < REACTION_S


@STOPS
def test_closing_takes_no_longer_than_its_timeout(server: RawServer, transport: Transport) -> None:
    began = monotonic()
    transport.close("goodbye", lambda: False)
    assert SETTINGS.close_timeout_s - 0.05 < monotonic() - began < SETTINGS.close_timeout_s + 0.5
    words = server.receive()
    assert words[0] == 0x81
    assert words[1] & 0x80  # clients mask


@STOPS
def test_closing_ends_with_the_answer(server: RawServer, transport: Transport) -> None:
    began = monotonic()
    server.send(text(b"late news") + text(struct.pack("!H", 1000), first=0x88))
    transport.close(None, lambda: False)
    assert monotonic() - began < REACTION_S


# Broken frames.

BREAKS = pytest.mark.req("ORCH-06")
CLOSE = 0x88


@BREAKS
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x81\x81\x00\x00\x00\x00x", id="masked"),
        pytest.param(b"\x89\x7e\x00\x7e" + b"p" * 126, id="oversized-ping"),
        pytest.param(b"\x09\x01p", id="fragmented-ping"),
        pytest.param(b"\x08\x02\x03\xe8", id="fragmented-close"),
        pytest.param(b"\x80\x01x", id="continuation-of-nothing"),
        pytest.param(b"\x01\x01a\x81\x01b", id="text-within-a-message"),
        pytest.param(text(b"x", first=0xC1), id="rsv1"),
        pytest.param(text(b"x", first=0xA1), id="rsv2"),
        pytest.param(text(b"x", first=0x91), id="rsv3"),
        pytest.param(text(b"x", first=0x83), id="unknown-opcode"),
        pytest.param(text(b"x", first=0x8B), id="unknown-control"),
        pytest.param(text(b"\x03", first=CLOSE), id="close-of-one-byte"),
        pytest.param(text(struct.pack("!H", 999), first=CLOSE), id="close-999"),
        pytest.param(text(struct.pack("!H", 1005), first=CLOSE), id="close-1005"),
        pytest.param(text(struct.pack("!H", 1006), first=CLOSE), id="close-1006"),
        pytest.param(text(struct.pack("!H", 5000), first=CLOSE), id="close-5000"),
        pytest.param(b"\x82\x01x", id="binary"),
    ],
)
def test_broken_frames_are_a_protocol_error(server: RawServer, transport: Transport, frames: bytes) -> None:
    server.send(frames)
    with pytest.raises(ConnectionFailedError) as failure:
        receive(transport)
    assert failure.value.reason.code is ReasonCode.PROTOCOL_ERROR


@BREAKS
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x81\x7e\x10\x01", id="announced"),
        pytest.param(b"\x81\x7f" + struct.pack("!Q", 2**63 - 1), id="announced-huge"),
        pytest.param((b"\x01\x7d" + b"x" * 125) + (b"\x00\x7d" + b"x" * 125) * 40, id="in-pieces"),
        pytest.param(b"\x01\x00" + b"\x00\x00" * 6000, id="empty-pieces"),
    ],
)
def test_messages_have_a_limit(server: RawServer, transport: Transport, frames: bytes) -> None:
    server.send(frames)
    with pytest.raises(ConnectionFailedError) as failure:
        receive(transport)
    assert failure.value.reason.code is ReasonCode.MESSAGE_TOO_BIG


@BREAKS
@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        (text(struct.pack("!H", 1000) + b"bye", first=CLOSE), ReasonCode.CLOSED_BY_GATEWAY, "1000"),
        (text(struct.pack("!H", 4321), first=CLOSE), ReasonCode.CLOSED_BY_GATEWAY, "4321"),
        (text(b"", first=CLOSE), ReasonCode.CLOSED_BY_GATEWAY, "without a code"),
    ],
)
def test_closes_are_reported_by_their_code(
    server: RawServer, transport: Transport, frames: bytes, code: ReasonCode, words: str
) -> None:
    server.send(frames)
    with pytest.raises(ConnectionFailedError) as failure:
        receive(transport)
    assert failure.value.reason.code is code
    assert words in failure.value.reason.message


@BREAKS
def test_a_fragmented_message_with_a_ping_in_between(server: RawServer, transport: Transport) -> None:
    server.send(b"\x01\x02ab" + b"\x89\x01p" + b"\x00\x02cd" + b"\x80\x02ef" + text(b"next"))
    received = [receive(transport) for _ in range(3)]
    assert received == [
        Received(Kind.CONTROL),
        Received(Kind.MESSAGE, b"abcdef"),
        Received(Kind.MESSAGE, b"next"),
    ]
    pong = server.receive()
    assert pong[0] == 0x80 | ABNF.OPCODE_PONG


# A family that no system supports; its sockets are refused like IPv6 ones where IPv6 is disabled.
NO_FAMILY = socket.AF_IPX


@BREAKS
def test_an_unsupported_address_family_is_skipped(
    client: Client, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(_host: str, _flags: int) -> list[Address]:
        return [(NO_FAMILY, ("::1", 0, 0, 0)), (socket.AF_INET, ("127.0.0.1", 0))]

    monkeypatch.setattr(resolver_module, "_lookup", lookup)
    client.dial(server.url.replace("127.0.0.1", "gateway.example")).abort()


@BREAKS
def test_a_host_with_only_unsupported_addresses_is_reported(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "_lookup", lambda _host, _flags: [(NO_FAMILY, ("::1", 0, 0, 0))])
    with pytest.raises(ConnectionFailedError) as failure:
        client.dial("ws://gateway.example:5000")
    assert failure.value.reason.code is ReasonCode.CONNECT_FAILED
    assert "Address family not supported" in failure.value.reason.message


@BREAKS
def test_end_of_connection_in_the_middle_of_a_frame(server: RawServer, transport: Transport) -> None:
    server.send(b"\x81\x10half")
    server.close()
    with pytest.raises(ConnectionFailedError) as failure:
        receive(transport)
    assert failure.value.reason.code is ReasonCode.CONNECTION_LOST


@BREAKS
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\x00\x01\x02\x03\r\n\r\n", id="bytes"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", id="ssh"),
        pytest.param(b"HTTP/1.1 abc No\r\n\r\n", id="no-status"),
        pytest.param(b"HTTP/1.1 101 Yes\r\nno colon here\r\n\r\n", id="no-header"),
        pytest.param(b"HTTP/1.1 101 Yes\r\n\r\n", id="no-upgrade"),
        pytest.param(
            b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n",
            id="wrong-accept",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", id="huge-body"),
        pytest.param(b"HTTP/1.1 404 No\r\nContent-Length: -5\r\n\r\nx", id="negative-body"),
        pytest.param(b"\xff\xfe\xfd\xfc\n\n", id="not-utf8"),
    ],
)
def test_a_server_without_websocket_is_reported(client: Client, answer: bytes) -> None:
    with closing(RawServer(answers=False)) as server:
        ended: list[ConnectionFailedError] = []

        def dial() -> None:
            try:
                client.dial(server.url)
            except ConnectionFailedError as error:
                ended.append(error)

        thread = threading.Thread(target=dial, daemon=True)
        thread.start()
        server.send(answer)
        assert server._client is not None
        server._client.shutdown(socket.SHUT_WR)
        thread.join(5)
        (failure,) = ended
    assert failure.reason.code in {ReasonCode.UPGRADE_REJECTED, ReasonCode.CONNECTION_LOST}
    assert failure.reason.phase is Phase.UPGRADE


def test_an_ended_session_leaves_nothing_to_the_garbage_collector(client: Client, server: RawServer) -> None:
    gc.disable()
    try:
        opened = client.dial(server.url)
        server.send(text(b"hello"))
        assert receive_text(opened) == b"hello"
        stream = weakref.ref(opened._stream)
        opened.abort()
        del opened
        assert stream() is None
    finally:
        gc.enable()


def receive_text(transport: Transport) -> bytes:
    received = transport.receive(monotonic() + 5, Phase.SESSION)
    assert received is not None
    return received.payload
