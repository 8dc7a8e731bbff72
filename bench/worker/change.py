"""Row: delay until a change at a gateway shows in its status."""

from itertools import cycle

from bench.environment import BenchEnvironment
from bench.results import Goal, Section
from bench.worker.figures import Measured, figures, goals, quantile, ratios
from bench.worker.follow import Follower
from bench.worker.gateway_fleet import GatewayFleet
from bench.worker.managers import ASYNCIO, Manager, contestants

GATEWAYS, QUICK_GATEWAYS = 2000, 500
CHANGES_PER_S = 50.0
WINDOWS, QUICK_WINDOWS = 3, 1
WINDOW_S = 6.0
LIMIT_S = 60.0


def measure(env: BenchEnvironment) -> Section:
    """Measures each contestant in turn, for one window, with the same number of gateways."""
    makers = contestants(env)
    count = QUICK_GATEWAYS if env.is_quick else GATEWAYS
    managers: dict[str, Manager] = {}
    followers: dict[str, Follower] = {}
    for name, maker in makers.items():
        manager = maker(env, GatewayFleet(env, count))
        manager.start()
        manager.await_subscribed(LIMIT_S)
        manager.serve_status()
        managers[name] = manager
        followers[name] = Follower(env, manager, cycle(manager.fleet.names))
    work = f"{count:,} gateways, {CHANGES_PER_S:g} a second cut: "
    middle = Measured(work + "shown, median", "ms", wanted=150)
    late = Measured(work + "shown, p99", "ms", wanted=500)
    cpu = Measured(work + "CPU of the manager", "% of a core")
    unseen = 0
    for _ in range(QUICK_WINDOWS if env.is_quick else WINDOWS):
        for name, follower in followers.items():
            used_s = managers[name].cpu_s
            delays = follower.follow(CHANGES_PER_S, WINDOW_S)
            cpu.add(name, (managers[name].cpu_s - used_s) / WINDOW_S * 100)
            shown_ms = [1000 * each for each in delays.lost + delays.back]
            middle.add(name, quantile(shown_ms, 0.5))
            late.add(name, quantile(shown_ms, 0.99))
            unseen += delays.unseen
    for manager in managers.values():
        manager.close()
    measured, names = [middle, late, cpu], list(makers)
    all_shown = Goal("changes that never showed", "0", str(unseen), unseen == 0)
    note = (
        "From the reset, or the subscription, at the gateway to the first GET of its status that shows it, "
        "asked every 10 ms. Millgate's comes from PostgreSQL by way of the API, the others' from memory."
    )
    return Section(
        "Worker: a change shows",
        ratios(measured, names),
        f"{figures(measured, names)}\n\n{note}",
        (*goals([middle, late], names, ""), all_shown, *goals([cpu], names, ASYNCIO)),
    )
