"""What happens at a site by itself: sensors measure, leave, come back, and roam. In the event loop only."""

import asyncio
import itertools
import random
from collections.abc import Mapping

from simulator.gateway_state import GatewayCore
from simulator.sensors import Fleet, Quantity, Sensor

# One round of a gateway's life; gateways start at different points of it.
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


class Life:
    """Makes one thing happen at each gateway per interval."""

    def __init__(self, cores: Mapping[str, GatewayCore], fleet: Fleet) -> None:
        self._cores = cores
        self._fleet = fleet
        self._order = list(cores)
        self._chance = random.Random(1)

    async def go_on(self, interval_s: float) -> None:
        """Run until cancelled."""
        for step in itertools.count():
            await asyncio.sleep(interval_s)
            for offset, core in enumerate(self._cores.values()):
                if core.sessions:
                    self._happen(core, ROUND[(step + offset) % len(ROUND)])
                    # Thousands of gateways must not keep the loop from answering anybody.
                    await asyncio.sleep(0)

    def _happen(self, core: GatewayCore, what: str) -> None:
        if what == "access_point":
            serial = self._fleet.gateway_serial(core.gateway_id)
            core.notify("NOT_AP_CONN", {"Serial": serial, "Connected": 1})
            return
        if what == "arrive":
            self._arrive(core)
            return
        here = self._fleet.connected_to(core.gateway_id)
        if not here:
            return
        sensor = self._chance.choice(here)
        match what:
            case "temperature":
                core.take(sensor, Quantity.TEMP)
            case "battery":
                core.take(sensor, Quantity.BATT)
            case "reading" | "wrapped_reading":
                core.take(sensor, Quantity.READING, wrapped=what == "wrapped_reading")
            case "leave" if len(here) > 1:
                move(self._cores, self._fleet, sensor, None)

    def _arrive(self, core: GatewayCore) -> None:
        """Let a sensor that nobody hears appear here, its own or its neighbour's; else let one roam."""
        neighbour = self._order[(self._order.index(core.gateway_id) + 1) % len(self._order)]
        known = {**self._fleet.seen_by(neighbour), **self._fleet.seen_by(core.gateway_id)}.values()
        lost = [sensor for sensor in known if sensor.at_gateway is None]
        away = [sensor for sensor in known if sensor.at_gateway not in {None, core.gateway_id}]
        if candidates := lost or away:
            move(self._cores, self._fleet, self._chance.choice(candidates), core.gateway_id)


def move(cores: Mapping[str, GatewayCore], fleet: Fleet, sensor: Sensor, to_gateway: str | None) -> None:
    """Move a sensor and have the gateways concerned tell their clients."""
    for sighting in fleet.move(sensor, to_gateway):
        cores[sighting.gateway_id].notify("NOT_DYN_CONN", sighting.data)
