"""All rows that can be measured, in the order of RESULTS.md."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.api.ceiling import find_ceiling
from bench.api.comparison import compare
from bench.api.growth import grow
from bench.environment import BenchEnvironment
from bench.results import Section
from bench.scaling.fleet import measure as measure_fleet
from bench.worker import change, fleet, idle, large, notifications, page, start, trouble


@dataclass(frozen=True)
class Row:
    """A comparison, and the function that makes it. Rows are measured one after the other."""

    name: str
    about: str
    measure: Callable[[BenchEnvironment], Section]


ROWS: tuple[Row, ...] = (
    Row("api", "requests per second, latency, CPU and memory of the API and its peers", compare),
    Row("ceiling", "statements per second of PostgreSQL alone", find_ceiling),
    Row("growth-api", "latency of the API from 1,000 to 1,000,000 gateways", grow),
    Row("worker-start", "time until a worker has all its gateways connected, and its peers", start.measure),
    Row("worker-idle", "CPU, memory and files of a worker with idle gateways", idle.measure),
    Row("worker-change", "delay until a change at a gateway shows in its status", change.measure),
    Row("worker-notifications", "CPU for notifications and waveforms", notifications.measure),
    Row(
        "worker-hanging",
        "time to connect healthy gateways beside hanging ones",
        trouble.measure_hanging,
    ),
    Row("worker-return", "time to reconnect a site of a thousand gateways", trouble.measure_return),
    Row("worker-large", "ten thousand gateways in one worker: start, idle, changes", large.measure),
    Row("page", "the operators' page at ten thousand gateways, in a slow Chromium", page.measure),
    Row("worker-pair", "twenty thousand in two, with 200 changes a second", large.measure_pair),
    Row("worker-fleet", "four workers with 10,000 gateways; PostgreSQL at 0, 1,000, 10,000", fleet.measure),
    Row("scaling", "PostgreSQL's load with 100,000 gateways over 20 workers", measure_fleet),
)
