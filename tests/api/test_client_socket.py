"""What bounds a client that stalls, on real sockets and with limits of a moment."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

import gevent  # type: ignore[import-untyped]
import pytest
from gevent import socket as gevent_socket

from service.api import client_socket
from service.api.client_socket import ClientSocket

MOMENT_S = 0.2
BIG_BYTES = 3_000_000


@pytest.fixture
def pair() -> Iterator[tuple[ClientSocket, socket.socket]]:
    """The server's side and the client's."""
    ours, theirs = socket.socketpair()
    with theirs:
        wrapped = ClientSocket(gevent_socket.socket(fileno=ours.detach()))
        yield wrapped, theirs
        with suppress(OSError):
            wrapped.shutdown(socket.SHUT_RDWR)
        wrapped.close()


Pair = tuple[ClientSocket, socket.socket]


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for what a client may take."""
    for name in ("HEAD_TIMEOUT_S", "STALL_TIMEOUT_S", "LINGER_S"):
        monkeypatch.setattr(client_socket, name, MOMENT_S)


def test_a_silent_connection_is_taken_for_gone(pair: Pair) -> None:
    assert pair[0].recv(100) == b""


def test_half_a_head_is_taken_for_gone_however_it_dribbles(pair: Pair) -> None:
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


def test_a_body_that_dribbles_has_an_end(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "BODY_TIMEOUT_S", MOMENT_S)
    monkeypatch.setattr(client_socket, "STALL_TIMEOUT_S", 60)
    ours, theirs = pair
    ours.begin_request()
    theirs.sendall(b"x")
    assert ours.recv(100) == b"x"
    with pytest.raises(TimeoutError):
        ours.recv(100)


def test_a_response_that_nobody_takes_is_given_up(pair: Pair) -> None:
    ours, _ = pair
    ours.begin_request()
    ours.sendall(b"x" * 50_000_000)
    with pytest.raises(BrokenPipeError):
        ours.end_request(60)


def test_a_response_that_is_taken_bit_by_bit_goes_on(pair: Pair) -> None:
    """The limit is for a part, not for the whole."""
    ours, theirs = pair
    taken = 0

    def take() -> None:
        nonlocal taken
        while taken < BIG_BYTES:
            gevent.sleep(MOMENT_S / 20)
            taken += len(theirs.recv(100_000))

    ours.begin_request()
    ours.sendall(b"x" * BIG_BYTES)
    taking = gevent.spawn(take)
    began = monotonic()
    ours.end_request(60)
    taking.join()
    assert monotonic() - began > MOMENT_S


def test_head_and_body_go_out_together(pair: Pair) -> None:
    ours, theirs = pair
    ours.begin_request()
    ours.sendall(b"head ")
    ours.sendall(b"body")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    ours.end_request(60)
    assert theirs.recv(100) == b"head body"


def test_who_is_answered_and_closed_can_still_read_the_answer(pair: Pair) -> None:
    """Also with something unread, for which the system would take back what is on its way."""
    ours, theirs = pair
    theirs.sendall(b"x" * 10_000)
    ours.begin_request()
    ours.sendall(b"answer")
    ours.close()
    assert theirs.recv(100) == b"answer"
    assert theirs.recv(100) == b""
