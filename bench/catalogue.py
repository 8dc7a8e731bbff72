"""What can be measured, row by row, in the order of RESULTS.md."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.api.ceiling import find_ceiling
from bench.api.comparison import compare
from bench.api.growth import grow
from bench.environment import BenchEnvironment
from bench.results import Section
from bench.scaling.fleet import measure as measure_fleet
from bench.worker import change, fleet, idle, large, notifications, start, trouble


@dataclass(frozen=True)
class Row:
    """A comparison, and the function that makes it. Rows are measured one after the other."""

    name: str
    about: str
    measure: Callable[[BenchEnvironment], Section]


ROWS: tuple[Row, ...] = (
    Row("api", "requests a second, latency, CPU and memory of the API beside its peers", compare),
    Row("ceiling", "statements a second of PostgreSQL alone", find_ceiling),
    Row("growth-api", "latency of the API from 1,000 to 1,000,000 gateways", grow),
    Row("worker-start", "until a worker has all its gateways connected, beside its peers", start.measure),
    Row("worker-idle", "CPU, memory and files of a worker with idle gateways", idle.measure),
    Row("worker-change", "how soon a change at a gateway shows in its status", change.measure),
    Row("worker-notifications", "CPU for notifications and waveforms", notifications.measure),
    Row("worker-hanging", "a healthy gateway beside a thousand that hang", trouble.measure_hanging),
    Row("worker-return", "a site of a thousand comes back", trouble.measure_return),
    Row("worker-large", "ten thousand gateways in one worker: start, idle, changes", large.measure),
    Row("worker-pair", "twenty thousand in two, with 200 changes a second", large.measure_pair),
    Row("worker-fleet", "four workers with 10,000 gateways; PostgreSQL at 0, 1,000, 10,000", fleet.measure),
    Row("scaling", "what PostgreSQL does for 100,000 gateways over 20 workers", measure_fleet),
)
