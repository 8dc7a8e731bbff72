"""The proxy behaves like a broken network."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

import pytest

from chaos.proxy import Mode, Proxy
from tests.support.waiting import wait_until

SOON_S = 0.3
LIMIT_S = 5.0


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Yield the port of a server that echoes bytes and closes when its client does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while data := connection.recv(4096):
                    connection.sendall(data)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo_port: int) -> Iterator[Proxy]:
    with Proxy(echo_port, byte_interval_s=0.05) as opened:
        yield opened


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """Yield a connection that is known to be open end to end."""
    with socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S) as connection:
        connection.sendall(b"hello")
        assert receive(connection, 5) == b"hello"
        yield connection


def receive(connection: socket.socket, size_bytes: int) -> bytes:
    """Receive that many bytes, or all until the end."""
    received = b""
    while len(received) < size_bytes and (part := connection.recv(size_bytes - len(received))):
        received += part
    return received


def hears_nothing(connection: socket.socket) -> bool:
    """Whether neither bytes nor an end come soon."""
    connection.settimeout(SOON_S)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(LIMIT_S)
    return False


def test_an_end_goes_through(client: socket.socket) -> None:
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 100) == b"last words"


def test_a_network_that_goes_dark_and_comes_back(proxy: Proxy, client: socket.socket) -> None:
    proxy.switch(Mode.DROP)
    client.sendall(b"is anybody there")
    assert hears_nothing(client)
    with socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S) as late:
        late.sendall(b"late")
        assert hears_nothing(late)
        proxy.switch(Mode.OPEN)
        assert receive(client, 16) == b"is anybody there"
        assert receive(late, 4) == b"late"


def test_a_dark_network_does_not_forward_closes(proxy: Proxy, client: socket.socket) -> None:
    other = socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S)
    wait_until(lambda: proxy.connections == 2)
    proxy.switch(Mode.DROP)
    other.close()
    assert hears_nothing(client)
    assert proxy.connections == 2
    proxy.switch(Mode.OPEN)
    wait_until(lambda: proxy.connections == 1)


def test_a_stall_in_the_middle(proxy: Proxy, client: socket.socket) -> None:
    proxy.switch(Mode.STALL)
    client.sendall(b"12345678")
    assert receive(client, 4) == b"1234"
    assert hears_nothing(client)
    proxy.switch(Mode.OPEN)
    assert receive(client, 4) == b"5678"


def test_a_byte_at_a_time(proxy: Proxy, client: socket.socket) -> None:
    proxy.switch(Mode.DRIBBLE)
    began = monotonic()
    client.sendall(b"12345678")
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < 8:
        pieces.append(client.recv(100))
    assert b"".join(pieces) == b"12345678"
    assert monotonic() - began >= 7 * 0.05
    assert pieces[0] == b"1"


def test_a_reset_ends_open_connections_and_new_ones(proxy: Proxy, client: socket.socket) -> None:
    proxy.switch(Mode.RESET)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with (
        suppress(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S) as late,
    ):
        assert late.recv(1) == b""
    proxy.switch(Mode.OPEN)
    with socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S) as again:
        again.sendall(b"again")
        assert receive(again, 5) == b"again"


def test_closing_drops_delayed_data(echo_port: int) -> None:
    proxy = Proxy(echo_port)
    with socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S) as connection:
        wait_until(lambda: proxy.connections == 1)
        proxy.switch(Mode.DROP)
        connection.sendall(b"never answered")
        proxy.close()
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    proxy.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), LIMIT_S)
