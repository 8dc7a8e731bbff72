"""Schedules a site's spontaneous events: sensors measure, leave, return and roam. Event loop only."""

import asyncio
import itertools
import random
from collections.abc import Mapping

from simulator.gateway_state import GatewayState
from simulator.sensors import Fleet, Quantity, Sensor

# One round of notifications; gateways start at different offsets in it.
ROUND = (
    "temperature",
    "reading",
    "access_point",
    "battery",
    "leave",
    "temperature",
    "wrapped_reading",
    "arrive",
)


class NotificationScheduler:
    """Sends one notification of each gateway per interval."""

    def __init__(self, gateway_states: Mapping[str, GatewayState], fleet: Fleet) -> None:
        self._states = gateway_states
        self._fleet = fleet
        self._order = list(gateway_states)
        self._chance = random.Random(1)

    async def run(self, interval_s: float) -> None:
        """Run until cancelled."""
        for step in itertools.count():
            await asyncio.sleep(interval_s)
            for offset, gateway_state in enumerate(self._states.values()):
                if gateway_state.sessions:
                    self._emit(gateway_state, ROUND[(step + offset) % len(ROUND)])
                    # Thousands of gateways must not block the loop, which answers clients.
                    await asyncio.sleep(0)

    def _emit(self, gateway_state: GatewayState, what: str) -> None:
        if what == "access_point":
            serial = self._fleet.gateway_serial(gateway_state.gateway_id)
            gateway_state.notify("NOT_AP_CONN", {"Serial": serial, "Connected": 1})
            return
        if what == "arrive":
            self._arrive(gateway_state)
            return
        here = self._fleet.connected_to(gateway_state.gateway_id)
        if not here:
            return
        sensor = self._chance.choice(here)
        match what:
            case "temperature":
                gateway_state.take(sensor, Quantity.TEMP)
            case "battery":
                gateway_state.take(sensor, Quantity.BATT)
            case "reading" | "wrapped_reading":
                gateway_state.take(sensor, Quantity.READING, wrapped=what == "wrapped_reading")
            case "leave" if len(here) > 1:
                move(self._states, self._fleet, sensor, None)

    def _arrive(self, gateway_state: GatewayState) -> None:
        """Connect a disconnected sensor here, its own or its neighbour's; else let one roam."""
        neighbour = self._order[(self._order.index(gateway_state.gateway_id) + 1) % len(self._order)]
        known = {**self._fleet.seen_by(neighbour), **self._fleet.seen_by(gateway_state.gateway_id)}.values()
        lost = [sensor for sensor in known if sensor.at_gateway is None]
        away = [sensor for sensor in known if sensor.at_gateway not in {None, gateway_state.gateway_id}]
        if candidates := lost or away:
            move(self._states, self._fleet, self._chance.choice(candidates), gateway_state.gateway_id)


def move(
    gateway_states: Mapping[str, GatewayState], fleet: Fleet, sensor: Sensor, to_gateway: str | None
) -> None:
    """Move a sensor; the gateways concerned notify their clients."""
    for sighting in fleet.move(sensor, to_gateway):
        gateway_states[sighting.gateway_id].notify("NOT_DYN_CONN", sighting.data)
