"""The WebSocket transport against a misbehaving server: every case has a known outcome.

The sections are those of the Autobahn test suite. The outcome of a case is its delivered messages and the
reason of the end; each must end soon and without spinning.
"""

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, thread_time

import pytest

from service.gateway_states import Phase, Reason, ReasonCode
from tests.support.certificates import make_certificate
from tests.support.raw_server import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    WAIT_S,
    Peer,
    RawServer,
    accept_header,
    close_frame,
    frame,
    proper_answer,
)
from tests.support.worker_settings import worker_config
from workers.ctc.codec import ProtocolViolationError, decode_message
from workers.gateway_manager.states import ConnectionFailedError
from workers.gateway_manager.websocket.bounded_websocket import KEPT_BYTES, MAX_FRAGMENTS, BoundedWebSocket
from workers.gateway_manager.websocket.dialer import MAX_UPGRADE_RESPONSE_BYTES, Dialer
from workers.gateway_manager.websocket.resolver import Resolver
from workers.gateway_manager.websocket.stream import Stream
from workers.gateway_manager.websocket.transport import Kind, Transport
from workers.gateway_manager.websocket.waker import Waker, WakerFactory

pytestmark = pytest.mark.req("ORCH-06")
MAX_MESSAGE_BYTES = 100_000
SETTINGS = worker_config(
    "postgresql://nobody@127.0.0.1:1/x",
    TCP_TIMEOUT_S="5",
    UPGRADE_TIMEOUT_S="5",
    PING_INTERVAL_S="4",
    LIVENESS_TIMEOUT_S="5",
    CLOSE_TIMEOUT_S="0.5",
    MAX_MESSAGES_PER_S="100000",
    MAX_MESSAGE_BYTES=str(MAX_MESSAGE_BYTES),
).session
GOODBYE = close_frame(1000)


@dataclass(frozen=True)
class Case:
    """A server's frames, followed by a close with 1000; the messages in them, and why the session ends."""

    name: str
    frames: bytes
    messages: tuple[bytes, ...] = ()
    code: ReasonCode = ReasonCode.CLOSED_BY_GATEWAY
    words: str = "with code 1000"

    @property
    def sent(self) -> bytes:
        """A broken frame has to be detected by itself; valid ones have to leave the session intact."""
        return self.frames + GOODBYE if self.words == "with code 1000" else self.frames


def delivered(name: str, frames: bytes, *messages: bytes) -> Case:
    return Case(name, frames, messages)


def too_many(name: str, frames: bytes) -> Case:
    return Case(name, frames, (), ReasonCode.MESSAGE_TOO_BIG, f"in more than {MAX_FRAGMENTS} frames")


def broken(name: str, frames: bytes, words: str, *messages: bytes) -> Case:
    return Case(name, frames, messages, ReasonCode.PROTOCOL_ERROR, words)


def too_big(name: str, frames: bytes) -> Case:
    return Case(name, frames, (), ReasonCode.MESSAGE_TOO_BIG, "100000 bytes")


def closed(name: str, frames: bytes, words: str) -> Case:
    return Case(name, frames, (), ReasonCode.CLOSED_BY_GATEWAY, words)


def padded(first: int, form: int, payload: bytes) -> bytes:
    """Encode a frame whose length is written in more bytes than needed."""
    return bytes([first, form]) + struct.pack("!H" if form == 126 else "!Q", len(payload)) + payload


def pieces(*payloads: bytes, opcode: int = TEXT, between: bytes = b"") -> bytes:
    """Encode a message in this many frames, with other bytes between them."""
    last = len(payloads) - 1
    return between.join(
        frame(CONT if i else opcode, payload, fin=int(i == last)) for i, payload in enumerate(payloads)
    )


LENGTHS = (0, 1, 125, 126, 127, 128, 65535, 65536, MAX_MESSAGE_BYTES)
FRAMING = [
    *(delivered(f"text-of-{n}", frame(TEXT, b"x" * n), b"x" * n) for n in LENGTHS),
    delivered("two-in-one-packet", frame(TEXT, b"a") + frame(TEXT, b"b"), b"a", b"b"),
    # A longer form than needed is forbidden but harmless.
    delivered("padded-to-16-bits", padded(0x81, 126, b"short"), b"short"),
    delivered("padded-to-64-bits", padded(0x81, 127, b"short"), b"short"),
    broken("binary", frame(BINARY, b"x"), "binary"),
    broken("binary-in-pieces", pieces(b"a", b"b", opcode=BINARY), "binary"),
    broken("masked", b"\x81\x85\x01\x02\x03\x04hello", "masked"),
    broken("masked-by-header-alone", b"\x81\xff", "masked"),
    broken("masked-close", b"\x88\x82\x00\x00\x00\x00\x03\xe8", "masked"),
]
PINGS = [
    delivered("ping", frame(PING)),
    delivered("ping-of-125-bytes", frame(PING, b"\xff" * 125)),
    delivered("many-pings", frame(PING, b"p") * 50),
    delivered("unsolicited-pong", frame(PONG, b"never sent"), *()),
    delivered("pongs-and-a-message", frame(PONG) * 50 + frame(TEXT, b"a"), b"a"),
    broken("ping-of-126-bytes", frame(PING, b"p" * 126), "too long"),
    broken("ping-of-126-bytes-by-header-alone", b"\x89\x7e", "too long"),
    broken("ping-of-65536-bytes-by-header-alone", b"\x89\x7f", "too long"),
    broken("pong-of-126-bytes", frame(PONG, b"p" * 126), "too long"),
    broken("padded-ping", padded(0x89, 126, b"p"), "too long"),
]
RESERVED = [
    *(
        broken(f"reserved-{bits}-of-{opcode}", frame(opcode, reserved=bits), "reserved bit")
        for bits in range(1, 8)
        for opcode in (TEXT, CLOSE, PING, PONG)
    ),
    broken("reserved-by-header-alone", b"\xc1\x7f", "reserved bit"),
    broken("reserved-after-a-message", frame(TEXT, b"a") + frame(TEXT, b"b", reserved=4), "reserved", b"a"),
    broken("reserved-in-a-continuation", frame(TEXT, fin=0) + frame(CONT, reserved=1), "reserved"),
]
OPCODES = [
    *(
        broken(f"opcode-{opcode}{end}", frame(opcode, payload), f"unknown kind {opcode}")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        for end, payload in (("", b""), ("-with-payload", b"payload"))
    ),
    broken("opcode-3-by-header-alone", b"\x83\x7f", "unknown kind 3"),
    broken("opcode-5-after-a-message", frame(TEXT, b"a") + frame(5), "unknown kind 5", b"a"),
]
FRAGMENTS = [
    delivered("two-pieces", pieces(b"ab", b"cd"), b"abcd"),
    delivered("empty-pieces", pieces(b"", b"", b""), b""),
    delivered("text-in-an-empty-last-piece", pieces(b"a", b""), b"a"),
    delivered("pings-between", pieces(b"a", b"b", b"c", between=frame(PING, b"p")), b"abc"),
    delivered("pongs-between", pieces(b"a", b"b", b"c", between=frame(PONG) * 3), b"abc"),
    delivered("one-after-the-other", pieces(b"a", b"b") + pieces(b"c", b"d"), b"ab", b"cd"),
    delivered("as-many-as-may-be", pieces(*[b"x"] * MAX_FRAGMENTS), b"x" * MAX_FRAGMENTS),
    broken("ping-in-pieces", frame(PING, b"a", fin=0) + frame(CONT, b"b"), "in pieces"),
    broken("pong-in-pieces", frame(PONG, b"a", fin=0) + frame(CONT, b"b"), "in pieces"),
    broken("close-in-pieces", b"\x08\x02\x03\xe8", "in pieces"),
    broken("continuation-of-nothing", frame(CONT, b"a"), "continuation of nothing"),
    broken("continuation-of-nothing-to-go-on", frame(CONT, b"a", fin=0), "continuation of nothing"),
    broken("continuation-of-what-is-over", pieces(b"a", b"b") + frame(CONT, b"c"), "continuation of", b"ab"),
    broken("continuation-after-a-message", frame(TEXT, b"a") + frame(CONT), "continuation of", b"a"),
    broken("text-within-text", frame(TEXT, b"a", fin=0) + frame(TEXT, b"b"), "within another"),
    broken("text-started-within-text", frame(TEXT, b"a", fin=0) * 2, "within another"),
    broken("binary-within-text", frame(TEXT, b"a", fin=0) + frame(BINARY, b"b"), "within another"),
    closed("close-within-a-message", frame(TEXT, b"a", fin=0) + close_frame(1001), "code 1001"),
]
GOOD_CODES = (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
CLOSES = [
    *(closed(f"close-{code}", close_frame(code, b"words"), f"code {code}.") for code in GOOD_CODES),
    *(broken(f"close-{code}", close_frame(code), f"{code}.") for code in BAD_CODES),
    closed("close-without-code", frame(CLOSE), "without a code"),
    broken("close-of-one-byte", frame(CLOSE, b"\x03"), "close frame"),
    closed("close-with-123-bytes-of-reason", close_frame(1001, b"x" * 123), "code 1001"),
    broken("close-with-124-bytes-of-reason", close_frame(1001, b"x" * 124), "too long"),
    # The reason is not shown; the code is.
    closed("close-with-reason-that-is-no-utf8", close_frame(1011, b"\xce\xba\xff"), "code 1011"),
    closed("text-after-close", close_frame(1001) + frame(TEXT, b"late"), "code 1001"),
    closed("ping-after-close", close_frame(1001) + frame(PING), "code 1001"),
    closed("two-closes", close_frame(1001) + close_frame(1002), "code 1001"),
    closed("rubbish-after-close", close_frame(1001) + b"\xff" * 100, "code 1001"),
    Case("close-after-a-message", frame(TEXT, b"a") + close_frame(1001), (b"a",), words="code 1001"),
]
LIMITS = [
    too_big("one-byte-over", frame(TEXT, b"x" * (MAX_MESSAGE_BYTES + 1))),
    too_big("announced", b"\x81\x7f" + struct.pack("!Q", MAX_MESSAGE_BYTES + 1)),
    too_big("announced-4-gigabytes", b"\x81\x7f" + struct.pack("!Q", 2**32)),
    too_big("announced-all-that-may-be", b"\x81\x7f" + struct.pack("!Q", 2**63 - 1)),
    broken("announced-2-to-the-63", b"\x81\x7f" + struct.pack("!Q", 2**63), "highest bit"),
    broken("announced-all-bits", b"\x81\x7f" + b"\xff" * 8, "highest bit"),
    too_big("in-pieces", frame(TEXT, b"x" * 60_000, fin=0) + frame(CONT, b"x" * 60_000, fin=0)),
    too_big("in-the-last-piece", pieces(b"x" * MAX_MESSAGE_BYTES, b"x")),
    too_many("one-piece-too-many", frame(TEXT, fin=0) + frame(CONT, b"x", fin=0) * MAX_FRAGMENTS),
    too_many("empty-pieces-for-ever", frame(TEXT, fin=0) + frame(CONT, fin=0) * 2 * MAX_FRAGMENTS),
    too_many("pings-hide-no-pieces", pieces(*[b""] * (MAX_FRAGMENTS + 1), between=frame(PONG))),
]
CASES = [*FRAMING, *PINGS, *RESERVED, *OPCODES, *FRAGMENTS, *CLOSES, *LIMITS]


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with RawServer() as raw:
        yield raw


@dataclass(frozen=True)
class Client:
    """Opens transports without interruption and closes them at the end."""

    dialer: Dialer
    waker: Waker
    stack: ExitStack

    def dial(self, url: str) -> Transport:
        transport = self.dialer.dial(url, self.waker, lambda: False)
        self.stack.callback(transport.abort)
        return transport

    def meet(self, server: RawServer) -> tuple[Transport, Peer]:
        """Return both ends of a new session."""
        transport = self.dial(server.url)
        return transport, server.peers.get(timeout=WAIT_S)


@pytest.fixture(scope="module")
def dialer() -> Iterator[Dialer]:
    resolver = Resolver()
    yield Dialer(resolver, SETTINGS)
    resolver.close()


@pytest.fixture
def client(dialer: Dialer) -> Iterator[Client]:
    with ExitStack() as stack:
        waker = WakerFactory().make()
        stack.callback(waker.close)
        yield Client(dialer, waker, stack)


def converse(transport: Transport) -> tuple[list[bytes], Reason]:
    """Receive to the end; return messages and reason. A hang fails the test."""
    messages: list[bytes] = []
    until = monotonic() + WAIT_S
    while True:
        try:
            received = transport.receive(until, Phase.SESSION)
        except ConnectionFailedError as failure:
            return messages, failure.reason
        assert received is not None, f"it hangs; so far {messages}"
        if received.kind is Kind.MESSAGE:
            messages.append(received.payload)


def assert_outcome(case: Case, messages: list[bytes], reason: Reason) -> None:
    assert (reason.code, reason.phase) == (case.code, Phase.SESSION), reason.message
    assert case.words in reason.message
    assert messages == list(case.messages)
    assert reason.message.isprintable()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    # A frame rejected by its header is not read further, so the rest may not fit into the buffers.
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    peer.send(case.sent)
    assert_outcome(case, *converse(transport))


@pytest.mark.parametrize("case", [c for c in CASES if len(c.sent) < 100], ids=lambda case: case.name)
def test_case_byte_by_byte(case: Case, client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    with suppress(ConnectionError):  # a client that rejects a frame disconnects
        peer.send(case.sent, in_pieces_of=1)
    assert_outcome(case, *converse(transport))


# UTF-8 is checked per message; fragments may be cut anywhere.

VALID_TEXTS = {
    "greek": "κόσμε",
    "first-of-each-length": "\x01\x80\u0800\U00010000",
    "last-of-each-length": "\x7f\u07ff\uffff\U0010ffff",
    "around-the-surrogates": "\ud7ff\ue000\ufffd",
    "no-characters": "\ufdd0\ufffe\U0001fffe",
}
INVALID_BYTES = {
    "lone-continuation": b"\x80",
    "continuations": b"\xbf\x80\xbf",
    "byte-that-is-none": b"ok \xff ok",
    "cut-off-2": b"\xc3",
    "cut-off-3": b"\xe2\x82",
    "cut-off-4": b"\xf0\x9f\x98",
    "cut-off-in-the-middle": b"\xe2\x82 goes on",
    "overlong-slash-2": b"\xc0\xaf",
    "overlong-slash-3": b"\xe0\x80\xaf",
    "overlong-slash-4": b"\xf0\x80\x80\xaf",
    "overlong-last-2": b"\xc1\xbf",
    "overlong-last-3": b"\xe0\x9f\xbf",
    "overlong-nul": b"\xc0\x80",
    "first-surrogate": b"\xed\xa0\x80",
    "last-surrogate": b"\xed\xbf\xbf",
    "surrogate-pair": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond-unicode": b"\xf4\x90\x80\x80",
    "five-bytes": b"\xf8\x88\x80\x80\x80",
    "six-bytes": b"\xfc\x84\x80\x80\x80\x80",
    "greek-then-surrogate": "κόσμε".encode() + b"\xed\xa0\x80edited",
}


def envelope(payload: bytes) -> bytes:
    return b'{"Type": "NOT_TEXT", "Data": "' + payload.replace(b"\x01", b"\\u0001") + b'"}'


def in_bytes(text: bytes) -> bytes:
    """Encode a message with one byte per frame."""
    return pieces(*[text[i : i + 1] for i in range(len(text))])


@pytest.mark.parametrize("text", VALID_TEXTS.values(), ids=VALID_TEXTS.keys())
def test_text_arrives_in_any_fragmentation(text: str, client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    whole = envelope(text.encode())
    peer.send(frame(TEXT, whole) + in_bytes(whole) + GOODBYE)
    messages, _ = converse(transport)
    assert [decode_message(message).data for message in messages] == [text, text]


@pytest.mark.parametrize("payload", INVALID_BYTES.values(), ids=INVALID_BYTES.keys())
def test_invalid_utf8_is_reported_as_such(payload: bytes, client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    whole = envelope(payload)
    peer.send(frame(TEXT, whole) + in_bytes(whole) + GOODBYE)
    messages, _ = converse(transport)
    assert messages == [whole, whole]
    for message in messages:
        with pytest.raises(ProtocolViolationError, match="not UTF-8"):
            decode_message(message)


# The client's answers.


def test_pings_are_answered_with_their_payload(client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    payloads = [b"", b"a", b"\x00\xff", b"p" * 125]
    peer.send(b"".join(frame(PING, payload) for payload in payloads) + GOODBYE)
    converse(transport)
    assert [peer.receive() for _ in payloads] == [(PONG, payload) for payload in payloads]
    assert peer.receive() == (CLOSE, b"\x03\xe8")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(TEXT, b"a", reserved=4), 1002),
        (b"\x81\x81\x00\x00\x00\x00x", 1002),
        (frame(BINARY, b"x"), 1003),
        (frame(TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)), 1009),
        (frame(TEXT, fin=0) + frame(CONT, fin=0) * MAX_FRAGMENTS, 1009),
    ],
)
def test_the_gateway_receives_a_close_code_when_its_session_fails(
    frames: bytes, code: int, client: Client, server: RawServer
) -> None:
    transport, peer = client.meet(server)
    peer.send(frames)
    converse(transport)
    assert peer.receive() == (CLOSE, struct.pack("!H", code))


def test_close_is_answered_once(client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    peer.send(GOODBYE)
    transport.close(None, lambda: False)
    assert peer.receive() == (CLOSE, b"\x03\xe8")
    with pytest.raises((EOFError, ConnectionError)):
        peer.receive()


# The upgrade.


def altered(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return the correct response with one change."""

    def answer(key: bytes) -> bytes:
        proper = proper_answer(key)
        assert old in proper
        return proper.replace(old, new)

    return answer


def with_header(line: bytes) -> Callable[[bytes], bytes]:
    return altered(b"Upgrade: websocket\r\n", b"Upgrade: websocket\r\n" + line + b"\r\n")


ACCEPTED = {
    "proper": proper_answer,
    "other-case": altered(
        b"Upgrade: websocket\r\nConnection: Upgrade", b"UPGRADE: WebSocket\r\nconnection:upgrade"
    ),
    "more-connections": altered(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
    "no-words-in-the-status": altered(b" Switching Protocols", b""),
    "other-headers": with_header(b"Server: \xfcml\r\nSet-Cookie: a=b\r\nX-Empty:"),
    "bare-line-feeds": altered(b"\r\n", b"\n"),
    "empty-extension": with_header(b"Sec-WebSocket-Extensions:"),
    "connections-in-two-lines": with_header(b"Connection: keep-alive"),
    "folded-header": altered(b"Connection: Upgrade", b"Connection: keep-alive,\r\n\tUpgrade"),
    "folded-after-the-colon": altered(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept:\r\n  "),
    "folded-line-with-a-colon": with_header(b"X-Time: 12\r\n Upgrade: h2c"),
    "interim-100": lambda key: b"HTTP/1.1 100 Continue\r\n\r\n" + proper_answer(key),
    "interim-102-and-103": lambda key: (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + proper_answer(key)
    ),
    "unknown-interim-status": lambda key: b"HTTP/1.1 199\r\nUpgrade: h2c\r\n\r\n" + proper_answer(key),
}
REFUSED = {
    "wrong-key": (lambda _: proper_answer(b"another"), "sec-websocket-accept"),
    "key-in-other-case": (
        lambda key: proper_answer(key).replace(accept_header(key), accept_header(key).swapcase()),
        "sec-websocket-accept",
    ),
    "key-twice": (with_header(b"Sec-WebSocket-Accept: d3Jvbmc="), "sec-websocket-accept"),
    "no-key": (altered(b"Sec-WebSocket-Accept", b"X-Accept"), "sec-websocket-accept"),
    "no-upgrade": (altered(b"Upgrade: websocket\r\n", b""), "upgrade"),
    "other-upgrade": (altered(b"Upgrade: websocket", b"Upgrade: h2c"), "upgrade"),
    "several-upgrades": (altered(b"Upgrade: websocket", b"Upgrade: h2c, websocket"), "upgrade"),
    "upgrade-to-a-version": (altered(b"Upgrade: websocket", b"Upgrade: websocket/13"), "upgrade"),
    "fold-of-nothing": (
        lambda key: proper_answer(key).replace(b"Protocols\r\n", b"Protocols\r\n  X: y\r\n"),
        "begins with white space",
    ),
    "interim-for-ever": (lambda _: b"HTTP/1.1 100 Go on\r\n\r\n" * 5000, "over 65536 bytes"),
    "interim-and-refusal": (
        lambda _: b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 403 No\r\n\r\n",
        "status 403",
    ),
    "no-connection": (altered(b"Connection: Upgrade\r\n", b""), "connection"),
    "connection-close": (altered(b"Connection: Upgrade", b"Connection: close"), "connection"),
    "extension": (with_header(b"Sec-WebSocket-Extensions: permessage-deflate"), "extensions"),
    "subprotocol": (with_header(b"Sec-WebSocket-Protocol: chat"), "protocol"),
    "header-without-colon": (with_header(b"what is this"), "colon"),
    "not-http": (altered(b"HTTP/1.1", b"ICY"), "Invalid upgrade response"),
    "other-http": (altered(b"HTTP/1.1", b"HTTP/2"), "Invalid upgrade response"),
    "number-with-underscore": (altered(b" 101 ", b" 1_01 "), "Invalid upgrade response"),
    "number-of-4000-digits": (altered(b" 101 ", b" 1" + b"0" * 4000 + b" "), "Invalid upgrade response"),
    "blank-first": (lambda key: b"\r\n" + proper_answer(key), "Invalid upgrade response"),
    "garbage-first": (lambda key: b"\x00\xffgarbage" + proper_answer(key), "Invalid upgrade response"),
    "frames-first": (
        lambda key: frame(TEXT, b"hello\n") + proper_answer(key),
        "Invalid upgrade response",
    ),
    "banner-and-silence": (lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", "Invalid upgrade response"),
    "503-and-silence": (lambda _: b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nx", "status 503"),
    "502-with-a-large-page": (lambda _: b"HTTP/1.1 502 No\r\n\r\n" + b"x" * 200_000, "status 502"),
    "200": (altered(b" 101 ", b" 200 "), "status 200"),
    "204": (lambda _: b"HTTP/1.1 204\r\n\r\n", "status 204"),
    "308-to-itself": (
        lambda _: b"HTTP/1.1 308 There\r\nLocation: /\r\n\r\n",
        "redirects with HTTP status 308",
    ),
    "long-status-line": (lambda _: b"HTTP/1.1 101 " + b"x" * 200_000, "over 65536 bytes"),
    "long-header": (with_header(b"X: " + b"x" * MAX_UPGRADE_RESPONSE_BYTES), "over 65536 bytes"),
    "headers-for-ever": (with_header(b"\r\n".join([b"X: y"] * 50_000)), "over 65536 bytes"),
}


@pytest.mark.parametrize("answer", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_valid_upgrade_responses_are_accepted(answer: Callable[[bytes], bytes], client: Client) -> None:
    # Some gateways don't wait: data arriving with the response belongs to the session.
    # Of a larger message only the start is kept, unless all of it arrives together.
    payload = b"x" * (KEPT_BYTES - 1)
    rest = frame(TEXT, payload) + GOODBYE
    with RawServer(lambda peer: peer.send(rest), answer) as server:
        messages, reason = converse(client.dial(server.url))
    assert messages == [payload]
    assert reason.code is ReasonCode.CLOSED_BY_GATEWAY


@pytest.mark.parametrize(("answer", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_invalid_upgrade_responses_are_rejected(
    answer: Callable[[bytes], bytes], words: str, client: Client
) -> None:
    with RawServer(answer=answer) as server:
        with pytest.raises(ConnectionFailedError) as failure:
            client.dial(server.url)
        assert server.accepted == 1
    reason = failure.value.reason
    assert (reason.code, reason.phase) == (ReasonCode.UPGRADE_REJECTED, Phase.UPGRADE)
    assert words in reason.message
    assert len(reason.message) < 150


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 1", b"HTTP/1.1 101 Yes\r\nUpgr", b"HTTP/1.1 100 Go on\r\n\r\n"]
)
def test_truncated_upgrade_responses(answer: bytes, client: Client) -> None:
    with RawServer(Peer.end, lambda _: answer) as server, pytest.raises(ConnectionFailedError) as failure:
        client.dial(server.url)
    assert failure.value.reason.code is ReasonCode.CONNECTION_LOST


# Time. A deadline holds against a peer that dribbles bytes, and waiting uses no CPU.

SHORT_S = 0.3
HUGE_BYTES = 64 * 1024 * 1024
HUGE_FRAME = b"\x81\x7f" + struct.pack("!Q", HUGE_BYTES - 1)


class Dribble:
    """A peer that sends another byte at every read, and never the last."""

    def __init__(self, head: bytes, client: Client) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.sendall(head)
        self.give_up_at = monotonic() + WAIT_S
        stream = Stream(ours, client.waker, self.next_byte)
        self.transport = Transport(stream, BoundedWebSocket(stream, HUGE_BYTES), SETTINGS)
        client.stack.callback(self.theirs.close)
        client.stack.callback(self.transport.abort)

    def next_byte(self) -> bool:
        """Send a byte; the transport calls it at each turn as its interruption check."""
        assert monotonic() < self.give_up_at, "it read byte after byte past every deadline"
        with suppress(OSError):
            self.theirs.send(b"x")
        return False


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(HUGE_FRAME, id="in-a-frame"),
        pytest.param(frame(TEXT, b"a", fin=0) + b"\x00" + HUGE_FRAME[1:], id="in-a-piece"),
    ],
)
def test_dribbling_does_not_outlast_the_deadline(head: bytes, client: Client) -> None:
    transport = Dribble(head, client).transport
    began = monotonic()
    with pytest.raises(ConnectionFailedError) as failure:
        transport.receive(began + WAIT_S, Phase.LOGIN, finish_by=began + SHORT_S)
    assert monotonic() - began < SHORT_S + 2
    assert failure.value.reason.code is ReasonCode.LOGIN_TIMEOUT


def test_dribbling_does_not_delay_closing(client: Client) -> None:
    dribble = Dribble(HUGE_FRAME, client)
    began = monotonic()
    dribble.transport.close("goodbye", dribble.next_byte)
    assert monotonic() - began < SETTINGS.close_timeout_s + 2


@pytest.mark.parametrize("part", [b"\x81", b"\x81\x10half", frame(TEXT, b"a", fin=0) + b"\x00"])
def test_half_a_frame_does_not_delay_closing(part: bytes, client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    peer.send(part)
    began = monotonic()
    transport.close(None, lambda: False)
    assert monotonic() - began < SETTINGS.close_timeout_s + 1


@pytest.mark.parametrize("part", [b"", b"\x81", b"\x81\x7e\x01", b"\x81\x10half", frame(TEXT, b"a", fin=0)])
def test_waiting_uses_no_cpu(part: bytes, client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    peer.send(part)
    spent = thread_time()
    until = monotonic() + SHORT_S
    with suppress(ConnectionFailedError):
        assert transport.receive(until, Phase.LOGIN, finish_by=until) is None
    assert monotonic() >= until
    assert thread_time() - spent < SHORT_S / 3


def fill(sock: socket.socket) -> None:
    """Send until neither end's buffer has room for another byte."""
    size = 65536
    while size:
        try:
            sock.send(b"x" * size)
        except BlockingIOError:
            # Room returns as the system moves its data to the other end.
            if not select.select([], [sock], [], 0.1)[1]:
                size //= 256


def test_close_is_reported_when_the_peer_does_not_read(client: Client, server: RawServer) -> None:
    transport, peer = client.meet(server)
    fill(transport._stream._sock)
    peer.send(close_frame(1013))
    began = monotonic()
    _, reason = converse(transport)
    assert "code 1013" in reason.message
    assert monotonic() - began < SETTINGS.liveness_timeout_s / 2


def test_tls_records_without_data_do_not_block_the_reader(tmp_path: Path, client: Client) -> None:
    """A TLS 1.3 server sends session tickets; a client that took them for a frame would wait for its rest."""
    server_context = make_certificate(tmp_path / "server.pem")
    ours, theirs = socket.socketpair()
    stream = Stream(ours, client.waker, lambda: False)
    client.stack.callback(stream.close)
    wrapped: list[ssl.SSLSocket] = []
    thread = threading.Thread(
        target=lambda: wrapped.append(server_context.wrap_socket(theirs, server_side=True))
    )
    thread.start()
    stream.deadline = monotonic() + WAIT_S
    stream.start_tls(ssl.create_default_context(cafile=tmp_path / "server.pem"), "127.0.0.1")
    thread.join(WAIT_S)
    client.stack.callback(wrapped[0].close)
    assert select.select([stream], [], [], WAIT_S)[0], "no tickets arrived"
    spent = thread_time()
    assert stream.wait_readable(monotonic() + SHORT_S) is False
    assert thread_time() - spent < SHORT_S / 3
    wrapped[0].send(b"news")
    assert stream.wait_readable(monotonic() + WAIT_S)
    assert stream.recv(10) == b"news"
