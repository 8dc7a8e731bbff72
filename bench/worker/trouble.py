"""Rows: healthy gateways beside ones that hang, and a site that comes back, for every manager in turn."""

from bench.environment import BenchEnvironment
from bench.results import Section
from bench.worker.figures import Measured, figures, goals, quantile, ratios
from bench.worker.gateway_fleet import GatewayFleet
from bench.worker.managers import ASYNCIO, NODE, contestants

HANGING, QUICK_HANGING = 1000, 200
HEALTHY = 10
# A manager that has not reached the healthy ones by then counts with this time: it would take minutes.
HANGING_LIMIT_S = 60.0

RETURNING, QUICK_RETURNING = 1000, 200
AWAY_S, QUICK_AWAY_S = 20.0, 8.0
RETURN_LIMIT_S = 120.0


def measure_hanging(env: BenchEnvironment) -> Section:
    """Measures from a manager's start until its healthy gateways, the last of its list, are subscribed to."""
    hanging = QUICK_HANGING if env.is_quick else HANGING
    after = Measured(
        f"{HEALTHY} healthy gateways beside {hanging:,} that hang: subscribed after", "s", wanted=5
    )
    makers = contestants(env)
    for name, maker in makers.items():
        with GatewayFleet(env, hanging + HEALTHY, hanging=hanging) as fleet:
            manager = maker(env, fleet)
            manager.start()
            at = env.wait(lambda: fleet.count()["subscribed"] >= HEALTHY, HANGING_LIMIT_S)
            took_s = HANGING_LIMIT_S if at is None else at - manager.started_at
            after.add(name, took_s)
            env.say(f"{name}: {'more than ' if at is None else ''}{took_s:.1f} s")
            manager.close()
    return _section("Worker: beside gateways that hang", [after], list(makers))


def measure_return(env: BenchEnvironment) -> Section:
    """Measures from the moment when the gateways' port listens again until they are subscribed to."""
    count = QUICK_RETURNING if env.is_quick else RETURNING
    away_s = QUICK_AWAY_S if env.is_quick else AWAY_S
    title = f"{count:,} gateways return after {away_s:g} s"
    most = Measured(f"{title}: 99 % subscribed after", "s", wanted=10)
    last = Measured(f"{title}: all subscribed after", "s", wanted=20)
    makers = contestants(env)
    for name, maker in makers.items():
        with GatewayFleet(env, count, is_away=True) as fleet:
            manager = maker(env, fleet)
            manager.start()
            env.pause(away_s)
            returned_at = fleet.return_()
            manager.await_subscribed(RETURN_LIMIT_S)
            delays = [at - returned_at for at in fleet.take_back().values()]
            most.add(name, quantile(delays, 0.99))
            last.add(name, max(delays))
            env.say(f"{name}: 99 % {quantile(delays, 0.99):.1f} s, all {max(delays):.1f} s")
            manager.close()
    return _section("Worker: the return of a site", [most, last], list(makers))


def _section(title: str, measured: list[Measured], names: list[str]) -> Section:
    ahead = [goal for peer in (NODE, ASYNCIO) for goal in goals(measured, names, peer)]
    return Section(title, ratios(measured, names), figures(measured, names), tuple(dict.fromkeys(ahead)))
