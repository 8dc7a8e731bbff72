"""Row: how long a manager takes from its start until all its gateways are logged in and subscribed."""

from dataclasses import dataclass

from bench.house import House
from bench.processes import cpu_s
from bench.results import Section
from bench.worker.field import Field
from bench.worker.figures import Measured, figures, goals, ratios
from bench.worker.managers import ASYNCIO, MILLGATE, Maker, Millgate, contestants
from devstack.errors import StackError

ROUNDS = 3
COUNTS = {2000: 8.0, 5000: 20.0}
"""How many gateways, and within how many seconds they are to be subscribed."""
QUICK_COUNTS = {500: 8.0}
LIMIT_S = 90.0


@dataclass(frozen=True, slots=True)
class Started:
    """One start: seconds until the last gateway was subscribed to, and CPU seconds until then."""

    took_s: float
    cpu_s: float
    database_cpu_s: float
    shown_s: float | None = None
    """Until the database showed the last one as connected; for Millgate alone."""


def measure(house: House) -> Section:
    """Each contestant with each number of gateways, in turn."""
    makers = contestants(house)
    measured: list[Measured] = []
    notes: list[str] = []
    for count, wanted_s in (QUICK_COUNTS if house.is_quick else COUNTS).items():
        took = Measured(f"{count:,} gateways subscribed after", "s", wanted=wanted_s)
        cpu = Measured(f"{count:,} gateways: CPU of the manager", "s")
        shown = Measured(f"{count:,} gateways shown connected after", "s", wanted=wanted_s)
        database = Measured(f"{count:,} gateways: CPU of PostgreSQL", "s")
        for _ in range(1 if house.is_quick else ROUNDS):
            for name, maker in makers.items():
                started = start(house, maker, count)
                house.say(f"{name}: {count} gateways in {started.took_s:.1f} s")
                took.add(name, started.took_s)
                cpu.add(name, started.cpu_s)
                if started.shown_s is not None:
                    shown.add(name, started.shown_s)
                    database.add(name, started.database_cpu_s)
        measured += [took, shown, cpu, database]
    names = list(makers)
    notes.append("Millgate's time includes the registry, claims, leases and reports in PostgreSQL.")
    return Section(
        "Worker: start",
        ratios(measured, names),
        "\n\n".join([figures(measured, names), *notes]),
        goals([each for each in measured if "subscribed" in each.work], names, ASYNCIO)
        + goals([each for each in measured if "shown" in each.work], names, MILLGATE)[::2],
    )


def start(house: House, maker: Maker, count: int) -> Started:
    """Starts a manager with `count` gateways on a farm of its own, and ends both."""
    with Field(house, count) as field:
        manager = maker(house, field)
        database_cpu_s = cpu_s(house.household.server_pid) if isinstance(manager, Millgate) else 0.0
        manager.start()
        try:
            at = field.await_subscribed(count, LIMIT_S)
            used_s, shown_s = manager.cpu_s, None
            if isinstance(manager, Millgate):
                shown_at = house.wait(lambda: manager.count_connected() >= count, LIMIT_S)
                if shown_at is None:
                    raise StackError("not all gateways were shown connected")
                shown_s = shown_at - manager.started_at
                database_cpu_s = cpu_s(house.household.server_pid) - database_cpu_s
            return Started(at - manager.started_at, used_s, database_cpu_s, shown_s)
        finally:
            manager.close()
