"""Each fault, as its client sees it."""

import contextlib
import json
import time
from typing import Any

import pytest
import websocket

from simulator import Fault, Gateway, Site
from tests.simulator.conftest import Connect

SHORT_S = 0.1


def test_the_list_below_is_complete() -> None:
    tested = globals()
    assert [fault for fault in Fault if f"test_{fault.value}" not in tested] == []


def test_reject_upgrade(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.REJECT_UPGRADE, status=503)
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        connect()
    assert caught.value.status_code == 503
    gateway.fault(Fault.REJECT_UPGRADE, status=302, location="ws://127.0.0.1:1/")
    with pytest.raises(websocket.WebSocketException, match="Redirect limit"):
        connect()
    # The redirect's target does not listen, so a client that follows it fails visibly.
    with pytest.raises(ConnectionRefusedError):
        websocket.create_connection(gateway.url, timeout=5, redirect_limit=1)
    assert gateway.attempts == 3
    gateway.fault(None)
    connect().subscribe()


def test_silent_upgrade(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.SILENT_UPGRADE)
    with pytest.raises(websocket.WebSocketTimeoutException):
        websocket.create_connection(gateway.url, timeout=SHORT_S)
    assert gateway.attempts == 1


def test_dribble_upgrade(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.DRIBBLE_UPGRADE, byte_interval_s=0.001)
    began = time.monotonic()
    connect().subscribe()
    assert time.monotonic() - began > 0.1


def test_huge_upgrade_headers(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.HUGE_UPGRADE_HEADERS, size_bytes=100_000)
    headers: dict[str, str] = connect().socket.getheaders()
    assert sum(len(value) for value in headers.values()) > 90_000


def test_close_before_login(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.CLOSE_BEFORE_LOGIN, code=1008)
    assert connect().close_code() == 1008
    assert gateway.logins == 0


def test_silent_login(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.SILENT_LOGIN)
    client = connect()
    client.command("POST_LOGIN", Email="plant@example.com", Password="secret")
    assert client.ping() == b"are you there"
    assert gateway.logins == 0


def test_dribble_login(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.DRIBBLE_LOGIN, byte_interval_s=0.001)
    client = connect()
    began = time.monotonic()
    client.subscribe()
    assert time.monotonic() - began > 0.1
    assert client.ping() == b"are you there"


def test_reject_login(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.REJECT_LOGIN)
    assert connect().log_in()["Data"]["Success"] is False
    assert (gateway.logins, gateway.rejected_logins) == (0, 1)


def test_error_login(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.ERROR_LOGIN)
    assert connect().log_in()["Data"]["Attempt"] == "POST_LOGIN"
    gateway.fault(Fault.ERROR_LOGIN, attempt=None)
    assert connect().log_in()["Data"]["Attempt"] is None


def test_close_after_login(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.CLOSE_AFTER_LOGIN, code=1000)
    client = connect()
    assert client.log_in()["Data"]["Success"] is True
    assert client.close_code() == 1000
    assert [(end.code, end.by) for end in gateway.sessions_closed] == [(1000, "gateway")]


def test_reset_after_login(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.RESET_AFTER_LOGIN)
    client = connect()
    client.command("POST_LOGIN", Email="plant@example.com", Password="secret")
    gateway.wait(lambda g: len(g.sessions_closed) == 1)
    # The login's answer is lost if the reset arrives before it is read: both outcomes are correct.
    with contextlib.suppress(ConnectionResetError):
        assert client.hear()["Data"]["Success"] is True
    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        client.socket.recv()


def test_unknown_type(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.UNKNOWN_TYPE)
    client = connect()
    client.log_in()
    assert client.hear()["Type"] == "NOT_DYN_AURA"
    client.command("GET_DYN_CONNECTED")
    assert client.hear()["Type"] == "RTN_DYN"


def test_error_subscribe(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.ERROR_SUBSCRIBE)
    client = connect()
    client.log_in()
    client.command("POST_SUB_CHANGES")
    assert client.hear()["Data"]["Attempt"] == "POST_SUB_CHANGES"
    assert gateway.send("no session receives this") == 0


def test_flood(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.FLOOD, messages_per_s=5000)
    client = connect()
    client.subscribe()
    began = time.monotonic()
    for _ in range(1000):
        assert client.hear()["Type"] == "NOT_DYN_TEMP"
    assert 0.1 < time.monotonic() - began < 2


def _garbage(connect: Connect, gateway: Gateway, fault: Fault, **options: Any) -> list[Any]:
    """Return the frames that the fault sends, in place of the login's answer and after the subscription."""
    frames: list[Any] = []
    for phase in ("login", "session"):
        gateway.fault(fault, phase=phase, **options)
        client = connect()
        client.command("POST_LOGIN", Email="plant@example.com", Password="secret")
        if phase == "session":
            assert client.hear()["Data"]["Success"] is True
            client.command("POST_SUB_CHANGES")
        frames.append(client.socket.recv_frame())
    assert gateway.logins == 1
    return frames


def test_not_json(connect: Connect, gateway: Gateway) -> None:
    for frame in _garbage(connect, gateway, Fault.NOT_JSON):
        with pytest.raises(json.JSONDecodeError):
            json.loads(frame.data)


def test_json_array(connect: Connect, gateway: Gateway) -> None:
    for frame in _garbage(connect, gateway, Fault.JSON_ARRAY):
        assert isinstance(json.loads(frame.data), list)


def test_binary_frame(connect: Connect, gateway: Gateway) -> None:
    for frame in _garbage(connect, gateway, Fault.BINARY_FRAME):
        assert frame.opcode == websocket.ABNF.OPCODE_BINARY


def test_bad_utf8(connect: Connect, gateway: Gateway) -> None:
    for frame in _garbage(connect, gateway, Fault.BAD_UTF8):
        with pytest.raises(UnicodeDecodeError):
            frame.data.decode()


def _raw_after_subscription(connect: Connect) -> Any:
    """Return the TCP socket of a client that subscribes, with nothing read after the login's answer."""
    client = connect()
    client.log_in()
    client.command("POST_SUB_CHANGES")
    return client.socket.sock


def test_half_frame(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.HALF_FRAME)
    raw = _raw_after_subscription(connect)
    received = raw.recv(4096)
    assert received[:2] == bytes([0x81, 126])
    assert len(received) < int.from_bytes(received[2:4], "big")
    raw.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        raw.recv(1)


def test_huge_frame(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.HUGE_FRAME)
    raw = _raw_after_subscription(connect)
    header = raw.recv(10)
    assert header[:2] == bytes([0x81, 127])
    assert int.from_bytes(header[2:], "big") == 64 * 1024 * 1024
    assert len(raw.recv(100_000)) > 0


def test_no_pongs(connect: Connect, gateway: Gateway) -> None:
    gateway.fault(Fault.NO_PONGS)
    client = connect()
    client.subscribe()
    client.socket.ping("anybody?")
    client.command("GET_DYN_CONNECTED")
    opcode, _ = client.socket.recv_data(control_frame=True)
    assert opcode == websocket.ABNF.OPCODE_TEXT


def test_a_fault_of_all_gateways(connect: Connect, site: Site) -> None:
    site.fault(Fault.REJECT_UPGRADE, status=503)
    for name in ("gw-1", "gw-2"):
        with pytest.raises(websocket.WebSocketBadStatusException):
            connect(url=site.url(name))
    site.fault(None)
    for name in ("gw-1", "gw-2"):
        connect(url=site.url(name))
