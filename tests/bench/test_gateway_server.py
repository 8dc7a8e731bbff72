"""The gateway server: frames of the RFC, and sessions with real clients."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.worker.gateway_server.connection import GatewaySession
from bench.worker.gateway_server.frames import accept_key, encode_frame, take_frame, unmask
from bench.worker.gateway_server.gateways import Gateways
from bench.worker.gateway_server.load import push
from bench.worker.gateway_server.messages import AXIS_BYTES, temperature_frames, waveform_frames

EMAIL, PASSWORD = "plant@example.com", "secret"
WAIT_S = 5


def masked(opcode: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """Return a client's frame."""
    plain = encode_frame(opcode, payload)
    head = plain[: len(plain) - len(payload)]
    return bytes([head[0], head[1] | 0x80]) + head[2:] + mask + unmask(payload, mask)


def test_the_key_of_the_rfc() -> None:
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_are_taken_when_complete(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    whole = masked(1, payload)
    assert take_frame(bytearray(whole[:-1])) is None
    buffer = bytearray(whole + masked(9, b"p"))
    assert take_frame(buffer) == (1, payload)
    assert take_frame(buffer) == (9, b"p")
    assert not buffer


def test_waveforms_have_sixty_kilobytes() -> None:
    for frame in waveform_frames():
        data = json.loads(frame[frame.index(b"{") :])["Data"]
        samples = [data[axis].split(",") for axis in "XYZ"]
        assert all(float(sample) < 10 for axis in samples for sample in axis)
        assert 3 * AXIS_BYTES - 100 < sum(len(data[axis]) for axis in "XYZ") <= 3 * AXIS_BYTES


def command(kind: str, **data: str) -> str:
    return json.dumps({"Type": kind, "From": "UI", "To": "SERV", "Data": data})


async def hear(client: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), WAIT_S))
    return message


async def log_in(client: ClientConnection, password: str = PASSWORD) -> bool:
    await client.send(command("POST_LOGIN", Email=EMAIL, Password=password))
    return bool((await hear(client))["Data"]["Success"])


async def converse(gateways: Gateways, url: str) -> None:
    """Run a whole session of a real client."""
    async with connect(url) as client:
        assert not await log_in(client, "wrong")
        assert await log_in(client)
        assert (gateways.counters.handshakes, gateways.counters.most_handshakes) == (0, 1)
        await client.send(command("POST_SUB_CHANGES"))
        if gateways.answers_subscription:
            assert (await hear(client))["Type"] == "RTN_SUB_CHANGES"
        await asyncio.wait_for(await client.ping(), WAIT_S)
        pushed = await push(gateways, temperature_frames(), per_s=1000, for_s=0.02)
        assert (pushed.sent, pushed.skipped) == (20, 0)
        assert {(await hear(client))["Type"] for _ in range(20)} == {"NOT_DYN_TEMP"}
        gateways.subscribed["AP-00001"].cut()
        with pytest.raises(ConnectionClosed):
            await hear(client)


async def with_server(*, answers: bool) -> Gateways:
    """Return the counters of a server with one gateway."""
    gateways = Gateways(["AP-00001"], EMAIL, PASSWORD, answers_subscription=answers)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: GatewaySession(gateways), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await converse(gateways, f"ws://127.0.0.1:{port}/AP-00001")
    return gateways


@pytest.mark.parametrize("answers", [True, False])
def test_a_whole_session(answers: bool) -> None:
    gateways = asyncio.run(with_server(answers=answers))
    assert not gateways.subscribed
    assert [name for name, _ in gateways.take_back()] == ["AP-00001"]
    counters = gateways.counters
    assert (counters.connections, counters.rejected_logins, counters.violations) == (1, 1, 0)
    assert counters.pings >= 1
