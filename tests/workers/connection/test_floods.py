"""A gateway that sends faster than it is read: its end is seen, and its backlog does not count as fresh."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from service.gateway_states import Phase, Reason, ReasonCode
from tests.support.raw_server import PING, PONG, TEXT, WAIT_S, Peer, RawServer, frame
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import worker_config
from tests.support.workers.hostile_gateways import UNHURRIED, Gateway, message
from tests.workers.conftest import StartWorker
from workers.gateway_manager.states import ConnectionFailedError
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.resolver import Resolver
from workers.gateway_manager.websocket.transport import Transport
from workers.gateway_manager.websocket.waker import WakerFactory

pytestmark = pytest.mark.req("ORCH-06", "STATUS-01")
PER_S = 100
SETTINGS = worker_config(
    "postgresql://nobody@127.0.0.1:1/x",
    TCP_TIMEOUT_S="5",
    UPGRADE_TIMEOUT_S="5",
    PING_INTERVAL_S="9",
    LIVENESS_TIMEOUT_S="10",
    MAX_MESSAGES_PER_S=str(PER_S),
).session

Meet = Callable[[], tuple[Transport, Peer]]


@pytest.fixture
def meet() -> Iterator[Meet]:
    """Open a session; return both of its ends."""
    with ExitStack() as stack:
        server = stack.enter_context(RawServer())
        resolver = Resolver()
        stack.callback(resolver.close)
        waker = WakerFactory().make()
        stack.callback(waker.close)

        def open_session() -> tuple[Transport, Peer]:
            transport = Dialer(resolver, SETTINGS).dial(server.url, waker, lambda: False)
            stack.callback(transport.abort)
            return transport, server.peers.get(timeout=WAIT_S)

        yield open_session


def receive(transport: Transport, count: int) -> None:
    for _ in range(count):
        assert transport.receive(monotonic() + WAIT_S, Phase.SESSION) is not None


def end_of(transport: Transport) -> Reason:
    with pytest.raises(ConnectionFailedError) as failure:
        receive(transport, 1_000_000)
    return failure.value.reason


def fin(peer: Peer) -> None:
    peer.end()


def reset(peer: Peer) -> None:
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


@pytest.mark.parametrize("end", [fin, reset])
@pytest.mark.parametrize("sent", [frame(TEXT, b'{"Type": "N"}'), frame(PONG)], ids=["messages", "pongs"])
def test_the_end_of_a_connection_is_seen_before_its_backlog_is_read(
    end: Callable[[Peer], None], sent: bytes, meet: Meet
) -> None:
    transport, peer = meet()
    peer.send(sent * 20 * PER_S)
    receive(transport, 2 * PER_S)
    began = monotonic()
    end(peer)
    assert end_of(transport).code is ReasonCode.CONNECTION_LOST
    # Reading everything would take 18 s.
    assert monotonic() - began < 5


def test_a_message_read_late_does_not_count_as_just_received(meet: Meet) -> None:
    transport, peer = meet()
    peer.send(frame(PONG, b"?") * 2 * PER_S)
    receive(transport, PER_S + 1)
    heard_at = transport.heard_at
    receive(transport, PER_S // 2)
    assert transport.heard_at == heard_at


def test_a_late_pong_counts_from_the_time_of_its_ping(meet: Meet) -> None:
    transport, peer = meet()
    peer.send(frame(TEXT, b"{}") * 2 * PER_S)
    receive(transport, PER_S + 20)
    began = monotonic()
    transport.ping()
    pinged = monotonic()
    opcode, payload = peer.receive()
    assert opcode == PING
    peer.send(frame(PONG, payload) + frame(TEXT, b"{}"))
    transport.ping()  # another one, which is not answered
    receive(transport, PER_S - 20 + 1)
    assert began <= transport.heard_at <= pinged
    assert peer.receive()[1] != payload


def test_a_gateway_without_backlog_counts_as_just_heard(meet: Meet) -> None:
    transport, peer = meet()
    peer.send(frame(TEXT, b"{}") * (PER_S + 20))
    receive(transport, PER_S + 20)
    assert transport.receive(monotonic() + 0.5, Phase.SESSION) is None
    began = monotonic()
    peer.send(frame(PONG, b"not what was asked"))
    receive(transport, 1)
    assert transport.heard_at >= began


@pytest.mark.parametrize("is_alive", [True, False], ids=["floods-on", "falls-silent"])
def test_a_gateway_whose_backlog_exceeds_the_liveness_limit_is_down(
    is_alive: bool, testbed: WorkerTestBed, start_worker: StartWorker
) -> None:
    start_worker(**UNHURRIED, MAX_MESSAGES_PER_S=str(PER_S))
    with RawServer(Gateway(frame(PONG) * 5000, for_ever=is_alive)) as server:
        row_id = testbed.add("flood", server.url)
        testbed.wait_for_state(row_id, "connected")

        def losses() -> list[Any]:
            return [event for event in testbed.events(row_id) if event.from_state == "connected"]

        lost = wait_until(losses, WAIT_S)[0]
        assert (lost.reason_code, lost.reason_phase) == ("ping_timeout", "session")
        assert "late" in lost.reason_message
        seen = "SELECT last_seen_at FROM gateway_connections WHERE gateway_id = %s"
        seen_at = testbed.rows(seen, row_id)[0].last_seen_at
        testbed.delete(row_id)
    # The next session may have started and received data; this one received none in its last second.
    assert seen_at <= lost.at - timedelta(seconds=1) or seen_at >= lost.at


@pytest.mark.req("STATUS-05")
def test_a_silent_gateway_was_last_seen_at_its_login(
    testbed: WorkerTestBed, start_worker: StartWorker
) -> None:
    start_worker(**{**UNHURRIED, "SUBSCRIBE_GRACE_S": "1"})
    with RawServer(log_in_and_fall_silent) as server:
        row_id = testbed.add("silent", server.url)
        status = testbed.wait_for_state(row_id, "connected")
        testbed.delete(row_id)
    assert status.last_seen_at is not None
    assert status.connected_since is not None
    assert status.connected_since - status.last_seen_at > timedelta(seconds=0.9)


def log_in_and_fall_silent(peer: Peer) -> None:
    peer.receive()
    peer.send(message("RTN_LOGIN", {"Success": True}))
    while True:
        peer.receive()
