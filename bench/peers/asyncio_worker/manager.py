"""Keeps gateways connected with one task each; status is in memory."""

import asyncio
import json
import logging
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

MAX_HANDSHAKES = 50
LOGIN_TIMEOUT_S = 10
SUBSCRIBE_GRACE_S = 0.5
PING_INTERVAL_S = 15
PONG_TIMEOUT_S = 10
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
BACKOFF_INITIAL_S = 1
BACKOFF_MAX_S = 45

log = logging.getLogger("manager")


class GatewayError(Exception):
    """The gateway refused the login or the subscription, or broke the protocol."""


@dataclass(slots=True)
class Gateway:
    """A gateway and its status."""

    id: str
    url: str
    email: str
    password: str
    state: str = "disconnected"
    reason: str | None = None
    attempt: int = 0
    connected_since: float | None = None
    last_seen_at: float | None = None
    messages_received: int = 0

    def status(self) -> dict[str, object]:
        return {key: value for key, value in asdict(self).items() if key not in {"url", "email", "password"}}


class Manager:
    """All gateways by id, and counters over all of them."""

    def __init__(self, gateways: list[Gateway]) -> None:
        self.gateways = {gateway.id: gateway for gateway in gateways}
        self.kinds: Counter[str] = Counter()
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for gateway in self.gateways.values():
                group.create_task(self._keep_connected(gateway))

    def summary(self) -> dict[str, object]:
        gateways = self.gateways.values()
        return {
            "states": Counter(gateway.state for gateway in gateways),
            "messages_received": sum(gateway.messages_received for gateway in gateways),
            "kinds": self.kinds,
        }

    async def _keep_connected(self, gateway: Gateway) -> None:
        while True:
            try:
                await self._session(gateway)
            except (OSError, TimeoutError, WebSocketException, GatewayError) as error:
                gateway.reason = str(error) or type(error).__name__
            gateway.state, gateway.connected_since = "retrying", None
            gateway.attempt += 1
            longest = min(BACKOFF_MAX_S, BACKOFF_INITIAL_S * 2 ** min(gateway.attempt - 1, 16))
            delay = random.uniform(0, longest)
            log.debug("gateway %s down: %s; next attempt in %.1f s", gateway.id, gateway.reason, delay)
            await asyncio.sleep(delay)

    async def _session(self, gateway: Gateway) -> None:
        opening = connect(
            gateway.url,
            compression=None,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PONG_TIMEOUT_S,
            max_size=MAX_MESSAGE_BYTES,
        )
        async with AsyncExitStack() as stack:
            async with self._handshakes:
                gateway.state = "connecting"
                websocket = await stack.enter_async_context(opening)
                gateway.state = "authenticating"
                await log_in(websocket, gateway)
                await send(websocket, "POST_SUB_CHANGES", {})
            await await_subscription(websocket)
            gateway.state, gateway.attempt, gateway.connected_since = "connected", 0, time.time()
            async for text in websocket:
                message = json.loads(text)
                gateway.last_seen_at = time.time()
                gateway.messages_received += 1
                self.kinds[message["Type"]] += 1


async def log_in(websocket: ClientConnection, gateway: Gateway) -> None:
    await send(websocket, "POST_LOGIN", {"Email": gateway.email, "Password": gateway.password})
    async with asyncio.timeout(LOGIN_TIMEOUT_S):
        answer = json.loads(await websocket.recv())
    if answer["Type"] != "RTN_LOGIN" or not answer["Data"].get("Success"):
        raise GatewayError("login rejected")


async def await_subscription(websocket: ClientConnection) -> None:
    """Wait for a rejection; without one in time, the subscription stands."""
    try:
        async with asyncio.timeout(SUBSCRIBE_GRACE_S):
            answer = json.loads(await websocket.recv())
    except TimeoutError:
        return
    if answer["Type"] == "RTN_ERR":
        raise GatewayError("subscription rejected")


async def send(websocket: ClientConnection, kind: str, data: dict[str, str]) -> None:
    await websocket.send(json.dumps({"Type": kind, "From": "UI", "To": "SERV", "Data": data}))
