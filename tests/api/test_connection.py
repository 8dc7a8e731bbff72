"""What comes in pieces is read as what comes whole: gunicorn's own test requests, fed over a real socket.

The requests are gunicorn's (gunicorn_requests/LICENSE). What its parser makes of each, given all at once, is
what a connection has to make of it however it arrives.
"""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http.errors import LimitRequestHeaders  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]

from service.api.connection import HEAD_BYTES, SMALL_BODY_BYTES, Connection, UnfinishedError
from service.api.worker import settled
from tests.waiting import wait_until

REQUESTS = sorted((Path(__file__).parent / "gunicorn_requests").glob("*/*.http"))
SETTINGS = settled(Config())
CLIENT = ("127.0.0.1", 1)
Outcome = list[object]


def bytes_of(path: Path) -> bytes:
    """The request in one of gunicorn's files, which write line ends and other controls as escapes."""
    text = path.read_bytes().replace(b"\n", b"")
    for written, meant in ((b"\\r\\n", b"\r\n"), (b"\\0", b"\0"), (b"\\n", b"\n"), (b"\\t", b"\t")):
        text = text.replace(written, meant)
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text)


def read(request: Any) -> Outcome:
    """All that a request says."""
    body = request.body.read()
    return [request.method, request.uri, request.version, request.headers, request.trailers, body]


def wanted(data: bytes) -> Outcome:
    """What gunicorn's parser makes of it: requests, and what ends them."""
    parser = RequestParser(SETTINGS, iter([data]), CLIENT)
    outcome: Outcome = []
    try:
        while True:
            outcome += read(next(parser))
    except Exception as error:  # noqa: BLE001 (which one is what is compared)
        return [*outcome, type(error)]


class Peer:
    """A client that sends what it is told, and the server's side of it."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(listener.getsockname(), 5)
        accepted, _ = listener.accept()
        listener.close()
        self.connection = Connection(SETTINGS, accepted, CLIENT, CLIENT)

    def close(self) -> None:
        """Both sides."""
        self.client.close()
        self.connection.close()

    def offer(self, pieces: list[bytes]) -> Outcome:
        """What the server's side makes of these pieces, looking after each."""
        outcome: Outcome = []
        rest = iter(pieces)
        try:
            while True:
                try:
                    request = self.connection.next_request()
                except UnfinishedError:
                    self.send(next(rest, None))
                else:
                    for piece in rest:
                        self.send(piece)
                    self.send(None)
                    outcome += read(request)
        except Exception as error:  # noqa: BLE001 (which one is what is compared)
            return [*outcome, type(error)]

    def send(self, piece: bytes | None) -> None:
        """Sends a piece, or the end, and waits until it has arrived."""
        try:
            if piece is None:
                self.client.shutdown(socket.SHUT_WR)
            else:
                self.client.sendall(piece)
        except OSError:
            return  # ended before


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A connection."""
    made = Peer()
    yield made
    made.close()


@pytest.mark.req("API-06")
@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000_000])
def test_gunicorns_requests_mean_the_same_in_pieces(peer: Peer, path: Path, piece_bytes: int) -> None:
    data = bytes_of(path)
    pieces = [data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)]
    assert peer.offer(pieces) == wanted(data)


def test_all_of_gunicorns_requests_are_there() -> None:
    assert len(REQUESTS) == 143
    assert sum(len(wanted(bytes_of(path))) > 1 for path in REQUESTS) >= 50


def test_a_head_without_end_is_refused(peer: Peer) -> None:
    line = b"X: %s\r\n" % (b"v" * 4000)
    peer.send(b"GET / HTTP/1.1\r\n" + line * (HEAD_BYTES // len(line)))
    with pytest.raises(UnfinishedError):
        peer.connection.next_request()
    peer.send(line * 2)
    with pytest.raises(LimitRequestHeaders):
        take(peer.connection)


@pytest.mark.parametrize(
    ("length", "is_waited_for"), [(SMALL_BODY_BYTES, True), (SMALL_BODY_BYTES + 1, False)]
)
def test_a_small_body_is_waited_for_and_a_big_one_is_not(
    peer: Peer, length: int, *, is_waited_for: bool
) -> None:
    peer.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\nx" % length)
    if is_waited_for:
        with pytest.raises(UnfinishedError):
            peer.connection.next_request()
    else:
        assert peer.connection.next_request().body is not None
        return
    peer.send(b"x" * (length - 1))
    assert take(peer.connection).body.read() == b"x" * length


def take(connection: Connection) -> Any:
    """The next request, when it has arrived."""

    def look() -> Any:
        try:
            return connection.next_request()
        except UnfinishedError:
            return None

    return wait_until(look, what="the request")


def test_an_answer_that_nobody_takes_does_not_wait_without_end(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.connection.STALL_LIMIT_S", 0.2)
    peer.connection.sendall(b"x" * 50_000_000)
    monkeypatch.setattr("service.api.connection.SLOWEST_BYTES_PER_S", 1e12)
    with pytest.raises(TimeoutError):
        peer.connection.flush()
