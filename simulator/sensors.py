"""The wireless sensors of a site: their gateways, measurements and history.

One fleet per site, used in the site's event loop only. No sockets here; the caller passes the time.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import Enum

from simulator.messages import Json
from simulator.waveform import vibration

FIRST_SENSOR_SERIAL = 1_000_001
FIRST_GATEWAY_SERIAL = 20_001
DAYS_OF_HISTORY = 30
MEASUREMENTS_KEPT = 50


class Quantity(Enum):
    """A measured quantity, by its name in the protocol."""

    READING = "READING"
    TEMP = "TEMP"
    BATT = "BATT"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one sensor. Vibration keeps the number of its waveform instead of its samples."""

    id: int
    serial: int
    quantity: Quantity
    at: datetime
    value: int

    def as_data(self, serial: int | str, *, date_only: bool = False) -> dict[str, Json]:
        """Return the message's data. `serial`: readings show it as a string, sometimes as an integer."""
        head: dict[str, Json] = {
            "ID": self.id,
            "Serial": serial,
            "Time": self.at.strftime("%Y-%m-%d" if date_only else "%Y-%m-%d %H:%M"),
        }
        if self.quantity is Quantity.READING:
            waves = vibration(self.value)
            return head | {"X": waves.x, "Y": waves.y, "Z": waves.z}
        return head | {"Temp" if self.quantity is Quantity.TEMP else "Batt": self.value}


@dataclass(slots=True)
class Sensor:
    """A sensor; `at_gateway` is None while it is disconnected."""

    serial: int
    at_gateway: str | None
    access_point: int
    measured: deque[Measurement] = field(default_factory=lambda: deque(maxlen=MEASUREMENTS_KEPT))

    def describe(self, gateway_id: str) -> dict[str, Json]:
        """Return the row of `RTN_DYN` as that gateway sees it."""
        return {
            "Serial": self.serial,
            "Connected": int(self.at_gateway == gateway_id),
            "AccessPoint": self.access_point,
            "PartNum": "WS100-2C",
            "ReadRate": 12800,
            "GMode": "16",
            "FreqMode": 6400,
            "ReadPeriod": 60,
            "Samples": 4096,
            "HwVer": "1.2",
            "FmVer": "2.0.7",
        }


@dataclass(frozen=True, slots=True)
class Sighting:
    """A sensor connected to a gateway or left it; that gateway reports it in `NOT_DYN_CONN`."""

    gateway_id: str
    data: dict[str, Json]


class Fleet:
    """All sensors of a site, spread over its gateways."""

    def __init__(self, gateway_ids: Sequence[str], sensors_per_gateway: int) -> None:
        self._gateway_serials = {
            gateway_id: FIRST_GATEWAY_SERIAL + index for index, gateway_id in enumerate(gateway_ids)
        }
        self._seen_by: dict[str, dict[int, Sensor]] = {gateway_id: {} for gateway_id in gateway_ids}
        self._next_id = itertools.count(1)
        serials = itertools.count(FIRST_SENSOR_SERIAL)
        for gateway_id, access_point in self._gateway_serials.items():
            for serial in itertools.islice(serials, sensors_per_gateway):
                self._seen_by[gateway_id][serial] = Sensor(serial, gateway_id, access_point)

    def gateway_serial(self, gateway_id: str) -> int:
        """Return the access point's own serial, as in `NOT_AP_CONN`."""
        return self._gateway_serials[gateway_id]

    def seen_by(self, gateway_id: str) -> dict[int, Sensor]:
        """Return all sensors that the gateway has ever seen, by serial."""
        return self._seen_by[gateway_id]

    def connected_to(self, gateway_id: str) -> list[Sensor]:
        """Return the sensors connected to the gateway now, by serial."""
        return [sensor for sensor in self._seen_by[gateway_id].values() if sensor.at_gateway == gateway_id]

    def find(self, serial: int) -> Sensor:
        """Return a sensor of the site. Raises KeyError for a serial that it does not have."""
        for seen in self._seen_by.values():
            if serial in seen:
                return seen[serial]
        raise KeyError(f"no sensor {serial} at this site")

    def move(self, sensor: Sensor, to_gateway: str | None) -> list[Sighting]:
        """Connect a sensor to a gateway, or to none; return what the gateways concerned have to report."""
        before = sensor.at_gateway
        if before == to_gateway:
            return []
        sensor.at_gateway = to_gateway
        sightings = [] if before is None else [Sighting(before, sensor.describe(before))]
        if to_gateway is not None:
            sensor.access_point = self._gateway_serials[to_gateway]
            self._seen_by[to_gateway][sensor.serial] = sensor
            sightings.append(Sighting(to_gateway, sensor.describe(to_gateway)))
        return sightings

    def measure(self, sensor: Sensor, quantity: Quantity, now: datetime) -> Measurement:
        """Take a measurement and keep it in the sensor's history."""
        number = next(self._next_id)
        measurement = Measurement(
            number, sensor.serial, quantity, now, _value(quantity, sensor.serial + number)
        )
        sensor.measured.appendleft(measurement)
        return measurement


def history(
    sensors: Iterable[Sensor], quantity: Quantity, period: tuple[date, date], today: date
) -> list[Measurement]:
    """Return the measurements of a period (first and last day, both included), newest first."""
    start, end = period
    found = [
        measurement
        for sensor in sensors
        for measurement in (*sensor.measured, *_daily(sensor.serial, quantity, today))
        if measurement.quantity is quantity and start <= measurement.at.date() <= end
    ]
    found.sort(key=lambda measurement: (measurement.at, measurement.id), reverse=True)
    return found


def _daily(serial: int, quantity: Quantity, today: date) -> list[Measurement]:
    """Return one measurement for each day before today, a function of the arguments, so nothing is stored."""
    at = time(serial % 24, serial % 60)
    days = [today - timedelta(days=age) for age in range(1, DAYS_OF_HISTORY + 1)]
    return [
        Measurement(
            serial * 1_000_000 + day.toordinal(),
            serial,
            quantity,
            datetime.combine(day, at),
            _value(quantity, serial + day.toordinal()),
        )
        for day in days
    ]


def _value(quantity: Quantity, seed: int) -> int:
    if quantity is Quantity.TEMP:
        return 35 + seed % 17
    if quantity is Quantity.BATT:
        return 70 + seed % 30
    return seed
