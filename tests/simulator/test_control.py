"""A test's controls of a gateway."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
import websocket

from simulator import Credentials, Fault, Gateway, SessionEnd, Site
from tests.simulator.client import Client
from tests.simulator.conftest import Connect
from tests.support.certificates import make_certificate


def _port(site: Site, gateway_id: str) -> int:
    port = urlsplit(site.url(gateway_id)).port
    assert port is not None
    return port


def test_drop_with_a_reset(connect: Connect, gateway: Gateway) -> None:
    client = connect()
    client.subscribe()
    assert gateway.drop("rst") == 1
    with pytest.raises(ConnectionResetError):
        client.socket.recv()
    assert gateway.sessions_closed == [SessionEnd(1006, "", unsubscribed=False, by="gateway")]


def test_reset_of_a_tls_connection_whose_socket_is_already_closed(
    tmp_path: Path, credentials: Credentials
) -> None:
    certificate = tmp_path / "gateway.pem"
    context = make_certificate(certificate)
    with Site.start(["gw-1"], credentials=credentials, ssl_context=context) as site:
        client = Client(site.url("gw-1"), sslopt={"ca_certs": str(certificate)})

        async def reset_between_the_socket_and_its_end() -> None:
            [connection] = site._listeners[0]._connections
            connection.transport.abort()
            await asyncio.sleep(0)
            assert connection.transport.get_extra_info("socket") is None
            connection.reset()

        site._loop.call(reset_between_the_socket_and_its_end())
        with pytest.raises((ConnectionError, websocket.WebSocketConnectionClosedException)):
            client.hear()
        client.socket.shutdown()


def test_drop_with_fin(connect: Connect, gateway: Gateway) -> None:
    client = connect()
    client.subscribe()
    assert gateway.drop("fin") == 1
    assert client.socket.sock.recv(100) == b""


def test_drop_with_a_close_frame(connect: Connect, gateway: Gateway) -> None:
    client = connect()
    client.subscribe()
    assert gateway.drop("close", code=1008) == 1
    assert client.close_code() == 1008
    assert gateway.sessions_closed[0].code == 1008


@pytest.mark.parametrize("how", ["rst", "fin", "close"])
def test_nothing_to_drop(gateway: Gateway, how: Literal["rst", "fin", "close"]) -> None:
    assert gateway.drop(how) == 0


def test_freeze_and_thaw(connect: Connect, site: Site, gateway: Gateway) -> None:
    client, other = connect(), connect("gw-2")
    client.subscribe()
    other.subscribe()
    gateway.freeze()
    client.command("GET_DYN_CONNECTED")
    client.socket.settimeout(0.1)
    with pytest.raises(websocket.WebSocketTimeoutException):
        client.ping()
    with pytest.raises(websocket.WebSocketTimeoutException):
        websocket.create_connection(site.url("gw-1"), timeout=0.1)
    assert gateway.send({"Type": "NOT_DYN_TEMP"}) == 0
    assert other.ping() == b"are you there"
    assert gateway.open_sessions == 1

    gateway.thaw()
    client.socket.settimeout(5)
    # All held frames are handled together: control frames are answered while being read.
    kinds = {client.socket.recv_data(control_frame=True)[0] for _ in range(2)}
    assert kinds == {websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_PONG}


def test_a_client_that_disconnects_from_a_frozen_gateway_is_noticed(
    connect: Connect, gateway: Gateway
) -> None:
    client = connect()
    client.subscribe()
    gateway.freeze()
    client.socket.shutdown()
    gateway.wait(lambda g: g.open_sessions == 0)
    gateway.thaw()
    connect().subscribe()
    assert gateway.max_open_sessions == 1


def test_send(connect: Connect, gateway: Gateway) -> None:
    client, listener = connect(), connect()
    client.log_in()
    listener.subscribe()
    assert gateway.send({"Type": "NOT_DYN_TEMP", "Data": {}}) == 1
    assert listener.hear() == {"Type": "NOT_DYN_TEMP", "Data": {}}
    gateway.send("text")
    assert listener.socket.recv_data() == (websocket.ABNF.OPCODE_TEXT, b"text")
    gateway.send(b"\0\1")
    assert listener.socket.recv_data() == (websocket.ABNF.OPCODE_BINARY, b"\0\1")


def test_stop_and_start_listening(connect: Connect, site: Site, gateway: Gateway) -> None:
    client = connect()
    client.subscribe()
    for _ in range(2):
        site.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            connect()
        site.start_listening()
        connect().subscribe()
    assert client.ping() == b"are you there"
    with pytest.raises(RuntimeError, match="one_port_each"):
        gateway.stop_listening()


def test_the_port_stays_reserved_meanwhile(site: Site) -> None:
    site.stop_listening()
    with socket.socket() as rival, pytest.raises(OSError, match="in use"):
        rival.bind(("127.0.0.1", _port(site, "gw-1")))
    site.start_listening()


def test_one_port_each(credentials: Credentials, connect: Connect) -> None:
    with Site.start(["a", "b"], credentials=credentials, one_port_each=True) as site:
        assert urlsplit(site.url("a")).path == ""
        site.gateway("a").stop_listening()
        with pytest.raises(ConnectionRefusedError):
            connect(url=site.url("a"))
        connect(url=site.url("b")).subscribe()
        assert (site.gateway("a").attempts, site.gateway("b").attempts) == (0, 1)


def test_an_unknown_path_is_no_gateway(connect: Connect, site: Site) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        connect(url=site.url("gw-1") + "0")


def test_a_timeout_shows_the_counters(gateway: Gateway) -> None:
    with pytest.raises(TimeoutError, match=r"gw-1: .*'logins': 0"):
        gateway.wait(lambda g: g.logins == 1, timeout_s=0.05)


def test_bad_options_are_rejected(gateway: Gateway) -> None:
    with pytest.raises(ValueError, match="status"):
        gateway.fault(Fault.REJECT_UPGRADE, status=101)
    with pytest.raises(ValueError, match="code"):
        gateway.drop("close", code=1006)


def test_the_password_is_not_shown(credentials: Credentials) -> None:
    assert "secret" not in f"{credentials!r} {credentials}"


def test_an_ended_site_leaves_nothing(credentials: Credentials) -> None:
    with Site.start(["gw"], credentials=credentials) as site:
        port = _port(site, "gw")
        client = Client(site.url("gw"))
    with pytest.raises(OSError, match="reset"):
        client.socket.recv()
    client.socket.shutdown()
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
    with pytest.raises(RuntimeError, match="ended"):
        site.gateway("gw").freeze()
    site.close()


def test_tls_refuses_a_client_without_common_ground(credentials: Credentials, connect: Connect) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with Site.start(["gw"], credentials=credentials, ssl_context=context) as site:
        assert site.url("gw").startswith("wss://")
        with pytest.raises(ssl.SSLError):
            connect(url=site.url("gw"))
