"""Row: the cost of a manager whose gateways are connected and idle."""

from collections.abc import Mapping

from bench.environment import BenchEnvironment
from bench.results import Section
from bench.worker.figures import Measured, figures, goals, ratios
from bench.worker.gateway_fleet import GatewayFleet
from bench.worker.managers import ASYNCIO, Maker, Manager, contestants

GATEWAYS, QUICK_GATEWAYS = 2000, 500
WINDOWS, QUICK_WINDOWS = 2, 1
# One ping interval: each gateway is pinged once.
WINDOW_S = 15.0
SETTLE_S, QUICK_SETTLE_S = 15.0, 5.0
EMPTY_S = 3.0
LIMIT_S = 60.0


def measure(env: BenchEnvironment) -> Section:
    """Measures all contestants in parallel: a few per cent of a core each do not disturb the others."""
    makers = contestants(env)
    count = QUICK_GATEWAYS if env.is_quick else GATEWAYS
    cpu = Measured(f"CPU, {count:,} idle gateways", "% of a core", wanted=3)
    memory = Measured("memory a gateway (PSS)", "KiB", wanted=40)
    files = Measured("file descriptors a gateway", "", wanted=1.1)
    base = Measured("memory without gateways (PSS)", "MiB")
    empty = measure_empty(env, makers)
    managers = {name: start(env, maker, count) for name, maker in makers.items()}
    env.pause(QUICK_SETTLE_S if env.is_quick else SETTLE_S)
    for name, manager in managers.items():
        pss_bytes, open_files = empty[name]
        base.add(name, pss_bytes / 2**20)
        memory.add(name, (manager.pss_bytes - pss_bytes) / count / 2**10)
        files.add(name, (manager.open_files - open_files) / count)
    for _ in range(QUICK_WINDOWS if env.is_quick else WINDOWS):
        before = {name: manager.cpu_s for name, manager in managers.items()}
        env.pause(WINDOW_S)
        for name, manager in managers.items():
            cpu.add(name, (manager.cpu_s - before[name]) / WINDOW_S * 100)
    for manager in managers.values():
        manager.close()
    measured, names = [cpu, memory, files, base], list(makers)
    return Section(
        "Worker: idle",
        ratios([cpu, memory], names),
        figures(measured, names),
        goals([cpu, memory], names, ASYNCIO) + goals([files], names, ""),
    )


def measure_empty(env: BenchEnvironment, makers: Mapping[str, Maker]) -> dict[str, tuple[int, int]]:
    """Measure memory and file descriptors of each contestant without gateways."""
    found: dict[str, tuple[int, int]] = {}
    with GatewayFleet(env, 0) as fleet:
        managers = {name: maker(env, fleet) for name, maker in makers.items()}
        for manager in managers.values():
            manager.start()
        env.pause(EMPTY_S)
        for name, manager in managers.items():
            found[name] = (manager.pss_bytes, manager.open_files)
            manager.close()
    return found


def start(env: BenchEnvironment, maker: Maker, count: int) -> Manager:
    """Start a manager and wait until all its gateways are connected; its fleet ends with the environment."""
    fleet = GatewayFleet(env, count)
    manager = maker(env, fleet)
    manager.start()
    manager.await_subscribed(LIMIT_S)
    return manager
