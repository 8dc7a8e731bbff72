"""State that all sessions of one gateway share. Used in the event loop of the site only."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Protocol

from simulator.counters import Handshakes, SessionCounters
from simulator.faults import Fault, FaultPlan
from simulator.messages import Json, encode, outgoing
from simulator.sensors import Fleet, Measurement, Quantity, Sensor
from simulator.settings import Credentials, SiteSettings


class Link(Protocol):
    """A connection, as a gateway uses it."""

    plan: FaultPlan | None
    withholds_pongs: bool

    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def push(self, message: str | bytes) -> bool: ...
    def begin_close(self, code: int, reason: str = "") -> bool: ...
    def reset(self) -> None: ...
    def finish(self) -> None: ...
    @property
    def has_ended(self) -> bool: ...
    @property
    def connection_lost_waiter(self) -> asyncio.Future[None]: ...


class Subscriber(Protocol):
    """A session, as a gateway uses it."""

    @property
    def subscribed(self) -> bool: ...
    @property
    def connection(self) -> Link: ...


class GatewayState:
    """The state shared by one gateway's sessions: credentials, fault, sensors, and the session list."""

    def __init__(
        self,
        gateway_id: str,
        credentials: Credentials,
        settings: SiteSettings,
        fleet: Fleet,
        counters: SessionCounters,
    ) -> None:
        self.gateway_id = gateway_id
        self.credentials = credentials
        self.settings = settings
        self.fleet = fleet
        self.counters = counters
        self.handshakes = Handshakes()
        self.plan: FaultPlan | None = None
        self.connections: set[Link] = set()
        self.sessions: set[Subscriber] = set()
        self._thawed = asyncio.Event()
        self._thawed.set()

    # Connections.

    @property
    def is_frozen(self) -> bool:
        """Whether the gateway neither reads nor answers."""
        return not self._thawed.is_set()

    def freeze(self) -> None:
        """Stop reading and answering on all connections, new ones included."""
        self._thawed.clear()
        for connection in self.connections:
            connection.freeze()

    def thaw(self) -> None:
        """Undo `freeze`."""
        for connection in tuple(self.connections):
            connection.thaw()
        self._thawed.set()

    def attach(self, connection: Link) -> None:
        """Attach a connection whose request named this gateway; it keeps the current fault."""
        connection.plan = self.plan
        connection.withholds_pongs = self.plan is not None and self.plan.kind is Fault.NO_PONGS
        self.connections.add(connection)

    async def until_thawed(self, connection: Link) -> None:
        """Wait while the gateway is frozen and the connection is open."""
        thawed = asyncio.create_task(self._thawed.wait())
        awaited: set[asyncio.Future[Any]] = {thawed, connection.connection_lost_waiter}
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            thawed.cancel()

    # Notifications.

    def push(self, message: str | bytes) -> int:
        """Send a message to all subscribed sessions; return how many took it."""
        return sum(session.connection.push(message) for session in tuple(self.sessions) if session.subscribed)

    def notify(self, message_type: str, data: Json) -> int:
        """Send a notification to all subscribed sessions; return how many took it."""
        if not any(session.subscribed for session in self.sessions):
            return 0
        return self.push(encode(outgoing(message_type, data)))

    def notify_measurement(self, measurement: Measurement, *, wrapped: bool = False) -> int:
        """Send a measurement; `wrapped` puts it into {"0": …}, as some gateways do."""
        data = measurement.as_data(str(measurement.serial))
        return self.notify(f"NOT_DYN_{measurement.quantity.value}", {"0": data} if wrapped else data)

    def take(self, sensor: Sensor, quantity: Quantity, *, wrapped: bool = False) -> None:
        """Measure and notify; a reading is announced first and takes some time."""
        if quantity is not Quantity.READING:
            self.notify_measurement(self.fleet.measure(sensor, quantity, self.now()))
            return
        self.notify("NOT_DYN_READING_STARTED", {"Serial": sensor.serial, "Success": True})

        def finish() -> None:
            self.notify_measurement(self.fleet.measure(sensor, Quantity.READING, self.now()), wrapped=wrapped)
            self.notify_measurement(self.fleet.measure(sensor, Quantity.TEMP, self.now()))

        asyncio.get_running_loop().call_later(self.settings.reading_takes_s, finish)

    @staticmethod
    def now() -> datetime:
        """Return the gateway's clock, which is UTC without an offset."""
        return datetime.now(UTC).replace(tzinfo=None)
