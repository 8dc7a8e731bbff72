"""Row: time from a manager's start until all its gateways are logged in and subscribed."""

from dataclasses import dataclass

from bench.environment import BenchEnvironment
from bench.processes import cpu_s
from bench.results import Goal, Section
from bench.worker.figures import Measured, figures, goals, ratios
from bench.worker.gateway_fleet import GatewayFleet
from bench.worker.managers import ASYNCIO, Maker, Millgate, contestants
from devstack.errors import StackError

LIMIT_S = 90.0


@dataclass(frozen=True, slots=True)
class Case:
    """A number of gateways, and the seconds within which all must be connected.

    `is_silent`: they do not answer the subscription, as in the manual; some firmware does.
    """

    gateways: int
    wanted_s: float
    is_silent: bool = False
    rounds: int = 3

    @property
    def title(self) -> str:
        """The case's name in tables."""
        return f"{self.gateways:,} {'silent ' if self.is_silent else ''}gateways"


CASES = (Case(2000, 8), Case(5000, 20), Case(2000, 8, is_silent=True, rounds=1))
QUICK_CASES = (Case(500, 8, rounds=1),)


@dataclass(frozen=True, slots=True)
class Started:
    """One start: seconds until the last gateway was subscribed to, and CPU seconds until then."""

    took_s: float
    cpu_s: float
    database_cpu_s: float
    shown_s: float | None = None
    """Until the database showed the last one as connected; for Millgate alone."""


def measure(env: BenchEnvironment) -> Section:
    """Measures each contestant with each number of gateways in turn."""
    makers = contestants(env)
    all_measured: list[Measured] = []
    all_goals: list[Goal] = []
    names = list(makers)
    for case in QUICK_CASES if env.is_quick else CASES:
        took = Measured(f"{case.title} subscribed after", "s", wanted=case.wanted_s)
        shown = Measured(f"{case.title} shown connected after", "s", wanted=case.wanted_s)
        cpu = Measured(f"{case.title}: CPU of the manager", "s")
        database = Measured(f"{case.title}: CPU of PostgreSQL", "s")
        for _ in range(case.rounds):
            for name, maker in makers.items():
                started = start(env, maker, case)
                env.say(f"{name}: {case.title} in {started.took_s:.1f} s")
                took.add(name, started.took_s)
                cpu.add(name, started.cpu_s)
                if started.shown_s is not None:
                    shown.add(name, started.shown_s)
                    database.add(name, started.database_cpu_s)
        all_measured += [took, shown, cpu, database]
        all_goals += [*goals([took], names, ASYNCIO), *goals([shown], names, ASYNCIO)]
    note = "Millgate's time includes the registry, claims, leases and reports in PostgreSQL."
    return Section(
        "Worker: start",
        ratios(all_measured, names),
        f"{figures(all_measured, names)}\n\n{note}",
        tuple(all_goals),
    )


def start(env: BenchEnvironment, maker: Maker, case: Case) -> Started:
    """Start a manager with its own fleet, measure, and end both."""
    count = case.gateways
    with GatewayFleet(env, count, is_silent=case.is_silent) as fleet:
        manager = maker(env, fleet)
        database_cpu_s = cpu_s(env.sandbox.server_pid) if isinstance(manager, Millgate) else 0.0
        manager.start()
        try:
            at = manager.await_subscribed(LIMIT_S)
            used_s, shown_s = manager.cpu_s, None
            if isinstance(manager, Millgate):
                shown_at = env.wait(lambda: manager.count_connected() >= count, LIMIT_S)
                if shown_at is None:
                    raise StackError("not all gateways were shown connected")
                shown_s = shown_at - manager.started_at
                database_cpu_s = cpu_s(env.sandbox.server_pid) - database_cpu_s
            return Started(at - manager.started_at, used_s, database_cpu_s, shown_s)
        finally:
            manager.close()
