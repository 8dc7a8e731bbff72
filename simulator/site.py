"""A site: gateways that listen on loopback and are driven by ordinary synchronous code."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from threading import Condition
from types import TracebackType
from typing import Self, Unpack
from urllib.parse import quote

from simulator.connection.listener import Listener
from simulator.counters import Handshakes, SessionCounters, wait_until
from simulator.faults import Fault, FaultOptions, FaultPlan
from simulator.gateway import Gateway
from simulator.gateway_state import GatewayState
from simulator.loop_thread import LoopThread
from simulator.scheduler import NotificationScheduler, move
from simulator.sensors import Fleet
from simulator.settings import Credentials, SiteSettings

START_TIMEOUT_S = 60.0


class Site:
    """Gateways with one event loop in one thread. Use it as a context manager, or call `close`.

    Methods may be called from any thread, and return after they have taken effect.
    """

    def __init__(self, credentials: Credentials, settings: SiteSettings) -> None:
        """Prepare a site without gateways; use `Site.start`."""
        self._credentials = credentials
        self._settings = settings
        self._changed = Condition()
        self._gateways: dict[str, Gateway] = {}
        self._states: dict[str, GatewayState] = {}
        self._listeners: list[Listener] = []
        self._fleet = Fleet((), 0)
        self._handshakes = Handshakes()
        self._notifications: asyncio.Task[None] | None = None
        self._loop = LoopThread("simulator")

    @classmethod
    def start(  # noqa: PLR0913 - each but the first two has a default
        cls,
        gateway_ids: Sequence[str],
        *,
        credentials: Credentials,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        settings: SiteSettings | None = None,
        one_port_each: bool = False,
    ) -> Self:
        """Start gateways that accept these credentials, and return when they listen.

        All share one port, each with its own path; or, with `one_port_each`, each has a port and no
        path. `port` 0 = any free one; with `one_port_each`, the first gateway's, the others follow it. With
        an `ssl_context` they speak TLS. Raises OSError when a port is taken, ValueError for bad identifiers.
        """
        if not gateway_ids or len(set(gateway_ids)) != len(gateway_ids) or not all(gateway_ids):
            raise ValueError("gateway_ids must be different, not empty, and at least one")
        if port + (len(gateway_ids) if one_port_each else 1) > 65_536:
            raise ValueError("port must leave room for all gateways below 65536")
        site = cls(credentials, settings or SiteSettings())
        try:
            opening = site._open(gateway_ids, (host, port), ssl_context, one_port_each=one_port_each)
            site._loop.call(opening, START_TIMEOUT_S)
        except BaseException:
            site.close()
            raise
        return site

    async def _open(
        self,
        gateway_ids: Sequence[str],
        address: tuple[str, int],
        ssl_context: ssl.SSLContext | None,
        *,
        one_port_each: bool,
    ) -> None:
        self._fleet = Fleet(gateway_ids, self._settings.sensors_per_gateway)
        for gateway_id in gateway_ids:
            counters = SessionCounters(self._changed)
            gateway_state = GatewayState(gateway_id, self._credentials, self._settings, self._fleet, counters)
            gateway_state.handshakes = self._handshakes
            self._states[gateway_id] = gateway_state
        paths = {
            f"/{quote(gateway_id, safe='')}": gateway_state
            for gateway_id, gateway_state in self._states.items()
        }
        host, port = address
        scheme = "ws" if ssl_context is None else "wss"
        shown_host = f"[{host}]" if ":" in host else host
        shared = None if one_port_each else self._listener(paths, None, ssl_context, (host, port))
        for index, (path, gateway_state) in enumerate(paths.items()):
            own_port = port + index if port else 0
            listener = shared or self._listener({}, gateway_state, ssl_context, (host, own_port))
            url = f"{scheme}://{shown_host}:{listener.port}{'' if one_port_each else path}"
            own_listener = listener if one_port_each else None
            self._gateways[gateway_state.gateway_id] = Gateway(
                gateway_state, url, own_listener, self._loop, self._changed
            )
        for listener in self._listeners:
            await listener.start()
        if self._settings.notify_every_s:
            scheduler = NotificationScheduler(self._states, self._fleet)
            self._notifications = asyncio.create_task(scheduler.run(self._settings.notify_every_s))

    def _listener(
        self,
        paths: dict[str, GatewayState],
        sole: GatewayState | None,
        ssl_context: ssl.SSLContext | None,
        address: tuple[str, int],
    ) -> Listener:
        listener = Listener(paths, sole, ssl_context, self._settings.close_timeout_s, self._handshakes)
        self._listeners.append(listener)
        listener.bind(*address)
        return listener

    # Gateways and counters.

    @property
    def gateways(self) -> list[Gateway]:
        """All gateways, in the order in which they were named."""
        return list(self._gateways.values())

    def gateway(self, gateway_id: str) -> Gateway:
        """Return a gateway. Raises KeyError for an unknown one."""
        return self._gateways[gateway_id]

    def url(self, gateway_id: str) -> str:
        """Return a gateway's URL."""
        return self._gateways[gateway_id].url

    @property
    def credentials(self) -> Credentials:
        """The login with which all gateways started; each gateway's own can be changed."""
        return self._credentials

    @property
    def most_handshakes(self) -> int:
        """The most connections that were ever between accept and login at the same time."""
        return self._handshakes.most_at_once

    def wait(self, holds: Callable[["Site"], bool], timeout_s: float = 5.0) -> None:
        """Wait until `holds(site)`, checked after each change. Raises TimeoutError with the sums."""
        wait_until(self._changed, lambda: holds(self), timeout_s, lambda: f"all gateways: {self.summary()}")

    def summary(self) -> dict[str, int]:
        """Return the sums of the gateways' counters (`max_open_sessions`: the highest of any gateway)."""
        with self._changed:
            each = [gateway.summary() for gateway in self._gateways.values()]
        total = {name: sum(one[name] for one in each) for name in each[0]}
        return total | {"max_open_sessions": max(one["max_open_sessions"] for one in each)}

    # Controls.

    def fault(self, kind: Fault | None, **options: Unpack[FaultOptions]) -> None:
        """As `Gateway.fault`, for all gateways at the same time."""
        plan = None if kind is None else FaultPlan(kind, **options)

        def change() -> None:
            for gateway_state in self._states.values():
                gateway_state.plan = plan

        self._loop.do(change)

    def stop_listening(self) -> None:
        """Refuse all connections; open ones stay."""
        for listener in self._listeners:
            self._loop.call(listener.stop())

    def start_listening(self) -> None:
        """Listen again, on the same ports."""
        for listener in self._listeners:
            self._loop.call(listener.start())

    def move_sensor(self, serial: int, to_gateway: str | None) -> None:
        """Move a sensor from its gateway to another, or to none. Raises KeyError if unknown."""
        if to_gateway is not None:
            self.gateway(to_gateway)
        self._loop.do(lambda: move(self._states, self._fleet, self._fleet.find(serial), to_gateway))

    def close(self) -> None:
        """Cut all connections, free the ports and end the thread. No effect the second time."""
        if not self._loop.is_alive:
            return
        try:
            self._loop.call(self._end())
        finally:
            self._loop.stop()

    async def _end(self) -> None:
        if self._notifications is not None:
            self._notifications.cancel()
        for listener in self._listeners:
            await listener.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
