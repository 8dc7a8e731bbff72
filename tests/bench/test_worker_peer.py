"""The asyncio peer does the measured work: it connects, counts notifications, and reconnects."""

import asyncio
from collections.abc import Callable
from time import monotonic

from bench.peers.asyncio_worker.manager import Gateway, Manager
from bench.peers.asyncio_worker.status_server import find
from bench.worker.gateway_server.connection import GatewaySession
from bench.worker.gateway_server.gateways import Gateways
from bench.worker.gateway_server.load import push
from bench.worker.gateway_server.messages import temperature_frames

EMAIL, PASSWORD = "plant@example.com", "secret"
NAMES = ["AP-00001", "AP-00002", "AP-00003"]
WAIT_S = 10.0


async def until(holds: Callable[[], bool], what: str) -> None:
    """Run the loop until a condition holds."""
    deadline = monotonic() + WAIT_S
    while not holds():
        assert monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.005)


async def live() -> None:
    gateways = Gateways(NAMES, EMAIL, PASSWORD, answers_subscription=True)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: GatewaySession(gateways), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        urls = {name: f"ws://127.0.0.1:{port}/{name}" for name in NAMES}
        manager = Manager([Gateway(name, url, EMAIL, PASSWORD) for name, url in urls.items()])
        running = asyncio.create_task(manager.run())
        await until(lambda: manager.summary()["states"] == {"connected": 3}, "all sessions")
        await push(gateways, temperature_frames(), per_s=3000, for_s=0.01)
        await until(lambda: manager.summary()["messages_received"] == 30, "all notifications")
        gateways.subscribed[NAMES[0]].cut()
        await until(lambda: manager.gateways[NAMES[0]].state != "connected", "the loss to show")
        await until(lambda: manager.summary()["states"] == {"connected": 3}, "the session to come back")
        assert "password" not in manager.gateways[NAMES[0]].status()
        assert find(manager, f"/status/{NAMES[0]}")[0] == "200 OK"
        assert find(manager, "/status/AP-99999")[0] == "404 Not Found"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (gateways.counters.connections, gateways.counters.violations) == (4, 0)


def test_the_manager_keeps_gateways_connected() -> None:
    asyncio.run(live())
