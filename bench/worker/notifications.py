"""Row: the cost of receiving notifications."""

from dataclasses import dataclass
from time import monotonic

from bench.environment import BenchEnvironment
from bench.results import Goal, Section
from bench.worker.figures import Measured, figures, goals, ratios
from bench.worker.gateway_fleet import MESSAGES_LIMIT_S, GatewayFleet
from bench.worker.managers import ASYNCIO, Maker, Manager, Millgate, contestants
from devstack.errors import StackError

GATEWAYS = 200
ROUNDS, QUICK_ROUNDS = 3, 1
FOR_S = 3.0
LIMIT_S = 30.0
# Until the worker's next write of its counters.
WRITTEN_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """The notifications that all gateways together send."""

    what: str
    per_s: float
    title: str


LOADS = (
    Load("temperatures", 5000, "5,000 notifications/s"),
    Load("waveforms", 200, "200 waveforms of 60 KB/s"),
)


def measure(env: BenchEnvironment) -> Section:
    """Measures each contestant under each load in turn."""
    makers = contestants(env)
    measured = {load.what: Measured(f"{load.title}: CPU", "% of a core") for load in LOADS}
    late = {load.what: Measured(f"{load.title}: counted after the last", "ms") for load in LOADS}
    unaccounted = 0
    rounds = QUICK_ROUNDS if env.is_quick else ROUNDS
    for number in range(rounds):
        for name, maker in makers.items():
            with GatewayFleet(env, GATEWAYS) as fleet:
                manager = connected(env, maker, fleet)
                for load in LOADS:
                    used_s, late_s = take_in(env, manager, load)
                    measured[load.what].add(name, used_s / FOR_S * 100)
                    late[load.what].add(name, late_s * 1000)
                if isinstance(manager, Millgate) and number == rounds - 1:
                    unaccounted = count_unwritten(env, manager)
                manager.close()
    names = list(makers)
    all_written = Goal("notifications not accounted for", "0", str(unaccounted), unaccounted == 0)
    return Section(
        "Worker: notifications",
        ratios(list(measured.values()), names),
        figures([*measured.values(), *late.values()], names),
        (*goals(list(measured.values()), names, ASYNCIO), all_written),
    )


def connected(env: BenchEnvironment, maker: Maker, fleet: GatewayFleet) -> Manager:
    """Start a manager and wait until it shows all gateways of the fleet as connected."""
    manager = maker(env, fleet)
    manager.start()
    manager.await_subscribed(LIMIT_S)
    if env.wait(lambda: manager.count_connected() == GATEWAYS, LIMIT_S) is None:
        raise StackError("not all gateways were shown connected")
    return manager


def take_in(env: BenchEnvironment, manager: Manager, load: Load) -> tuple[float, float]:
    """Return the CPU seconds, and the seconds from the last notification until all were counted."""
    before, used_s = manager.messages_received(), manager.cpu_s
    pushed = manager.fleet.push(load.what, load.per_s, FOR_S)
    if pushed["skipped"]:
        raise StackError(f"{pushed['skipped']} notifications were not sent: the client read too slowly")
    sent_at = monotonic()
    expected = before + pushed["sent"]
    counted_at = env.wait(lambda: manager.messages_received() >= expected, MESSAGES_LIMIT_S)
    if counted_at is None or manager.messages_received() != expected:
        raise StackError(f"{manager.messages_received() - before} of {pushed['sent']} notifications counted")
    return manager.cpu_s - used_s, counted_at - sent_at


def count_unwritten(env: BenchEnvironment, manager: Millgate) -> int:
    """Count the notifications missing in the database after the worker's next write."""
    env.wait(lambda: manager.messages_written() == manager.messages_received(), WRITTEN_LIMIT_S)
    return manager.messages_received() - manager.messages_written()
