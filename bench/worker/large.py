"""Rows: ten thousand gateways in one worker, and twenty thousand in two."""

from collections.abc import Sequence
from itertools import chain, cycle
from time import monotonic
from typing import Any, LiteralString

import psycopg

from bench.environment import BenchEnvironment
from bench.processes import cpu_s
from bench.results import Section, at_most, number
from bench.worker.figures import Measured, figures, goals, quantile
from bench.worker.follow import Follower
from bench.worker.gateway_fleet import GatewayFleet
from bench.worker.idle import measure_empty
from bench.worker.managers import COUNT_CONNECTED, MILLGATE, Millgate
from bench.worker.seed import seed
from devstack.commands import WORKER, WORKER_ENVIRONMENT, local
from devstack.errors import StackError
from devstack.processes.child import Child
from devstack.run.environment import new_encryption_key

GATEWAYS, QUICK_GATEWAYS = 10_000, 2000
LIMIT_S = 120.0
SETTLE_S, QUICK_SETTLE_S = 20.0, 5.0
# One ping interval: each gateway is pinged once.
IDLE_S = 15.0
CHANGES_PER_S, CHANGES_S = 100.0, 15.0

PAIR_CHANGES_PER_S = 200.0
PAIR_S, QUICK_PAIR_S = 600.0, 20.0
LAST_CHANGES_S = 15.0
STEP_S = 0.01
LOOK_EVERY_S = 5.0
COUNT_LOSSES = """
SELECT count(*) FROM gateway_events WHERE from_state = 'connected' AND at >= %s
"""


def measure(env: BenchEnvironment) -> Section:
    """Measures one worker at default settings: start, idle, and with a hundred changes a second."""
    count = QUICK_GATEWAYS if env.is_quick else GATEWAYS
    title = f"{count:,} gateways in one process"
    shown = Measured(f"{title}: shown connected after", "s", wanted=12)
    cpu = Measured(f"{title}: CPU when idle", "% of a core", wanted=15)
    memory = Measured(f"{title}: memory a gateway (PSS)", "KiB", wanted=45)
    files = Measured(f"{title}: file descriptors a gateway", "", wanted=1.1)
    middle = Measured(f"{title}, {CHANGES_PER_S:g} a second cut: shown, median", "ms", wanted=60)
    late = Measured(f"{title}, {CHANGES_PER_S:g} a second cut: shown, p99", "ms", wanted=150)
    busy = Measured(f"{title}, {CHANGES_PER_S:g} a second cut: CPU of the worker", "% of a core")
    empty_bytes, empty_files = measure_empty(env, {MILLGATE: Millgate})[MILLGATE]
    manager = Millgate(env, GatewayFleet(env, count))
    manager.start()
    at = env.wait(lambda: manager.count_connected() >= count, LIMIT_S)
    if at is None:
        raise StackError(f"{manager.count_connected()} of {count} gateways were shown connected")
    shown.add(MILLGATE, at - manager.started_at)
    env.say(f"all shown after {at - manager.started_at:.1f} s")
    env.pause(QUICK_SETTLE_S if env.is_quick else SETTLE_S)
    memory.add(MILLGATE, (manager.pss_bytes - empty_bytes) / count / 2**10)
    files.add(MILLGATE, (manager.open_files - empty_files) / count)
    used_s = manager.cpu_s
    env.pause(IDLE_S)
    cpu.add(MILLGATE, (manager.cpu_s - used_s) / IDLE_S * 100)
    manager.serve_status()
    used_s = manager.cpu_s
    delays = Follower(env, manager, cycle(manager.fleet.names)).follow(CHANGES_PER_S, CHANGES_S)
    busy.add(MILLGATE, (manager.cpu_s - used_s) / CHANGES_S * 100)
    shown_ms = [1000 * each for each in delays.lost + delays.back]
    middle.add(MILLGATE, quantile(shown_ms, 0.5))
    late.add(MILLGATE, quantile(shown_ms, 0.99))
    manager.close()
    measured = [shown, cpu, memory, files, middle, late, busy]
    return Section(
        f"Worker: {count:,} gateways",
        "",
        figures(measured, [MILLGATE]),
        (
            *goals(measured, [MILLGATE], ""),
            at_most(f"{title}: changes that never showed", delays.unseen, 0),
        ),
    )


def measure_pair(env: BenchEnvironment) -> Section:
    """Measures two workers on one database, each with as many, while sessions are cut."""
    count = QUICK_GATEWAYS if env.is_quick else GATEWAYS
    for_s = QUICK_PAIR_S if env.is_quick else PAIR_S
    fleets = [GatewayFleet(env, count) for _ in range(2)]
    key = new_encryption_key()
    for fleet in fleets:
        seed(env.database_url, key, fleet)
    environment = {"DATABASE_URL": env.database_url, "ENCRYPTION_KEY": key, **WORKER_ENVIRONMENT}
    workers = [env.start(f"worker-{number}", local(WORKER), environment) for number in (1, 2)]
    sql = env.connect()
    began = monotonic()
    at = env.wait(lambda: _number(sql, COUNT_CONNECTED) >= 2 * count, LIMIT_S)
    if at is None:
        raise StackError(f"{_number(sql, COUNT_CONNECTED)} of {2 * count} gateways were shown connected")
    env.say(f"{2 * count:,} gateways shown after {at - began:.1f} s")
    sql.execute("ANALYZE")
    since = sql.execute("SELECT clock_timestamp()").fetchone() or ()
    database_s, workers_s = cpu_s(env.postgres_pid), _cpu_s(workers)
    cuts, fewest, took_s = _cut(env, sql, fleets, for_s)
    database_s, workers_s = cpu_s(env.postgres_pid) - database_s, _cpu_s(workers) - workers_s
    back_at = env.wait(lambda: _number(sql, COUNT_CONNECTED) >= 2 * count, LAST_CHANGES_S)
    missed = abs(cuts - _number(sql, COUNT_LOSSES, since))
    title = f"{2 * count:,} gateways in two processes, {PAIR_CHANGES_PER_S:g} changes a second"
    facts = (
        f"{2 * count:,} gateways were shown connected after {at - began:.1f} s. In {took_s:.0f} s {cuts:,} "
        f"sessions were cut, which makes two changes each; {fewest:,} or more were shown connected all the "
        f"while. The workers took {number(workers_s / took_s * 100)} % of a core together."
    )
    return Section(
        f"Worker: {2 * count:,} gateways",
        "",
        facts,
        (
            at_most(f"{title}: not connected at the end", 0 if back_at else 1, 0),
            at_most(f"{title}: losses missed in the history", missed, 0),
            at_most(f"{title}: PostgreSQL", database_s / took_s * 100, 100, "% of a core"),
        ),
    )


def _cut(
    env: BenchEnvironment, sql: psycopg.Connection, fleets: list[GatewayFleet], for_s: float
) -> tuple[int, int, float]:
    """Cut sessions in turn; return their number, the fewest gateways shown connected, and the seconds."""
    pairs = zip(*([(fleet, name) for name in fleet.names] for fleet in fleets), strict=True)
    turns = cycle(list(chain.from_iterable(pairs)))
    began = looked_at = monotonic()
    cuts, fewest = 0, _number(sql, COUNT_CONNECTED)
    # A cut session is two changes: it is lost, and it comes back.
    while (elapsed_s := monotonic() - began) < for_s:
        for _ in range(int(elapsed_s * PAIR_CHANGES_PER_S / 2) - cuts):
            fleet, name = next(turns)
            fleet.cut([name])
            cuts += 1
        if monotonic() - looked_at > LOOK_EVERY_S:
            looked_at = monotonic()
            fewest = min(fewest, _number(sql, COUNT_CONNECTED))
        env.pause(STEP_S)
    return cuts, fewest, monotonic() - began


def _number(sql: psycopg.Connection, question: LiteralString, values: Sequence[Any] = ()) -> int:
    [answer] = sql.execute(question, values).fetchone() or [0]
    return int(answer)


def _cpu_s(workers: list[Child]) -> float:
    return sum(cpu_s(worker.process.pid) for worker in workers if worker.process is not None)
