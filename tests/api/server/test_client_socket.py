"""Limits on stalling clients, on real sockets and with short timeouts."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import gevent  # type: ignore[import-untyped]
import pytest
from gevent import socket as gevent_socket
from gunicorn.http.errors import LimitRequestHeaders  # type: ignore[import-untyped]

from service.api.server import client_socket
from service.api.server.buffer_limit import HeldBytes
from service.api.server.client_socket import ClientSocket

MOMENT_S = 0.2
BIG_BYTES = 3_000_000
SLOW_BYTES = 100_000


@contextmanager
def connected(ours: socket.socket, theirs: socket.socket) -> Iterator[tuple[ClientSocket, socket.socket]]:
    """Return the server's and the client's side."""
    with theirs:
        wrapped = ClientSocket(gevent_socket.socket(fileno=ours.detach()))
        yield wrapped, theirs
        with suppress(OSError):
            wrapped.shutdown(socket.SHUT_RDWR)
        wrapped.close()


def over_tcp() -> tuple[socket.socket, socket.socket]:
    """Return both sides of a connection with small buffers."""
    theirs = socket.socket()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs.connect(listening.getsockname())
        ours, _ = listening.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours, theirs


Pair = tuple[ClientSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return the server's and the client's side."""
    with connected(*socket.socketpair()) as made:
        yield made


@pytest.fixture
def two_pairs() -> Iterator[tuple[Pair, Pair]]:
    """Yield the pairs of two clients."""
    with connected(*over_tcp()) as one, connected(*over_tcp()) as other:
        yield one, other


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the limits, so that tests need not wait for them."""
    for name in ("HEAD_TIMEOUT_S", "STALL_TIMEOUT_S", "LINGER_S"):
        monkeypatch.setattr(client_socket, name, MOMENT_S)


def test_a_silent_connection_is_closed(pair: Pair) -> None:
    assert pair[0].recv(100) == b""


def test_a_partial_head_is_closed_even_if_it_dribbles(pair: Pair) -> None:
    ours, theirs = pair
    ours.begin_request()
    ours.end_request(keepalive_s=60)
    theirs.sendall(b"G")
    assert ours.recv(100) == b"G"
    theirs.sendall(b"E")
    assert ours.recv(100) == b"E"
    assert ours.recv(100) == b""


def test_silence_between_requests_may_last_longer_than_a_head(pair: Pair) -> None:
    ours, _ = pair
    ours.begin_request()
    ours.end_request(keepalive_s=3 * MOMENT_S)
    assert ours.recv(100) == b""


def test_a_body_that_stalls_is_an_error(pair: Pair) -> None:
    ours, _ = pair
    ours.begin_request()
    with pytest.raises(TimeoutError):
        ours.recv(100)


def test_a_dribbling_body_is_limited(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "BODY_TIMEOUT_S", MOMENT_S)
    monkeypatch.setattr(client_socket, "STALL_TIMEOUT_S", 60)
    ours, theirs = pair
    ours.begin_request()
    theirs.sendall(b"x")
    assert ours.recv(100) == b"x"
    with pytest.raises(TimeoutError):
        ours.recv(100)


def test_a_response_that_is_not_read_is_aborted(pair: Pair) -> None:
    ours, _ = pair
    ours.begin_request()
    ours.sendall(b"x" * 50_000_000)
    with pytest.raises(BrokenPipeError):
        ours.end_request(60)


def test_a_response_that_is_read_slowly_enough_continues(pair: Pair) -> None:
    """Each part is read in time and is far smaller than one send; the whole takes longer than the limit."""
    ours, theirs = pair
    for side, option in ((ours, socket.SO_SNDBUF), (theirs, socket.SO_RCVBUF)):
        side.setsockopt(socket.SOL_SOCKET, option, 4096)
    taken = 0

    def take() -> None:
        nonlocal taken
        while taken < SLOW_BYTES:
            gevent.sleep(MOMENT_S / 20)
            taken += len(theirs.recv(1000))

    ours.begin_request()
    ours.sendall(b"x" * SLOW_BYTES)
    taking = gevent.spawn(take)
    began = monotonic()
    ours.end_request(60)
    assert monotonic() - began > 2 * MOMENT_S
    taking.join()


def test_a_response_that_is_read_too_slowly_is_aborted(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if small parts are read in time."""
    monkeypatch.setattr(client_socket, "LEAST_BYTES_A_SECOND", 100_000_000)
    ours, theirs = pair

    def take() -> None:
        while True:
            # First, so that there is data: this blocks the thread.
            gevent.sleep(MOMENT_S / 20)
            theirs.recv(100)

    ours.begin_request()
    ours.sendall(b"x" * BIG_BYTES)
    taking = gevent.spawn(take)
    with pytest.raises(BrokenPipeError):
        ours.end_request(60)
    taking.kill()


def test_the_longest_waiting_client_is_dropped_at_the_memory_limit(
    two_pairs: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unread responses and stalled bodies count together."""
    monkeypatch.setattr(client_socket, "STALL_TIMEOUT_S", 60)
    monkeypatch.setattr(client_socket, "held", HeldBytes(BIG_BYTES + 1000))
    (deaf, _), (sending, their_side) = two_pairs
    deaf.begin_request()
    deaf.sendall(b"x" * BIG_BYTES)
    ending = gevent.spawn(deaf.end_request, 60)
    # It has to be the first with buffered data.
    gevent.sleep(0)
    sending.begin_request()
    their_side.sendall(b"y" * 500)
    assert sending.recv(500) == b"y" * 500
    gevent.sleep(MOMENT_S)
    assert not ending.ready(), "all of it is within the limit"
    their_side.sendall(b"y" * 600)
    assert sending.recv(600) == b"y" * 600
    with pytest.raises(BrokenPipeError):
        ending.get()
    sending.sendall(b"answer")
    sending.end_request(60)
    assert their_side.recv(100) == b"answer"
    assert client_socket.held.total == 0


def test_a_stalled_head_is_dropped_at_the_memory_limit(
    two_pairs: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_socket, "HEAD_TIMEOUT_S", 60)
    monkeypatch.setattr(client_socket, "held", HeldBytes(1000))
    with connected(*over_tcp()) as (half, half_side):
        (busy, its_side), _ = two_pairs
        half_side.sendall(b"h" * 900)
        assert half.recv(900) == b"h" * 900
        waiting = gevent.spawn(half.recv, 900)
        gevent.sleep(MOMENT_S / 4)
        assert not waiting.ready()
        its_side.sendall(b"g" * 200)
        assert busy.recv(900) == b"g" * 200
        assert waiting.get(timeout=10) == b""
        assert client_socket.held.total == 200


def test_a_head_counts_until_its_request_is_answered(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after 100 Continue."""
    monkeypatch.setattr(client_socket, "held", HeldBytes(1000))
    ours, theirs = pair
    theirs.sendall(b"h" * 900)
    assert ours.recv(900) == b"h" * 900
    ours.begin_request()
    ours.send(b"continue")
    assert client_socket.held.total >= 900
    ours.end_request(60)
    assert client_socket.held.total == 0


def test_the_rest_of_an_unread_body_is_no_head(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "MAX_HEAD_BYTES", 1000)
    ours, theirs = pair
    ours.begin_request()
    ours.end_request(60)
    ours.is_in_body = True
    theirs.sendall(b"b" * 5000)
    assert ours.recv(5000) == b"b" * 5000
    ours.is_in_body = False
    ours.discard()
    assert client_socket.held.total == 0
    theirs.sendall(b"h" * 1001)
    with pytest.raises(LimitRequestHeaders):
        ours.recv(1001)


def test_a_client_being_answered_is_never_dropped(
    two_pairs: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request may already have taken effect."""
    monkeypatch.setattr(client_socket, "held", HeldBytes(1000))
    (busy, its_side), (late, late_side) = two_pairs
    busy.begin_request()
    its_side.sendall(b"y" * 900)
    assert busy.recv(900) == b"y" * 900
    late_side.sendall(b"z" * 900)
    late.begin_request()
    assert late.recv(900) == b"z" * 900
    assert late.recv(900) == b""
    busy.sendall(b"answer")
    busy.end_request(60)
    assert its_side.recv(100) == b"answer"


def test_head_and_body_are_sent_together(pair: Pair) -> None:
    ours, theirs = pair
    ours.begin_request()
    ours.sendall(b"head ")
    ours.sendall(b"body")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    ours.end_request(60)
    assert theirs.recv(100) == b"head body"


def test_a_client_can_read_the_response_after_the_close(pair: Pair) -> None:
    """Also with unread input, for which the system would reset the connection and drop sent data."""
    ours, theirs = pair
    theirs.sendall(b"x" * 10_000)
    ours.begin_request()
    ours.sendall(b"answer")
    ours.close()
    assert theirs.recv(100) == b"answer"
    assert theirs.recv(100) == b""
