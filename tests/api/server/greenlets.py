"""`python -m tests.api.server.greenlets`: checks that waiting is cooperative and deadlines are per greenlet.

Runs in a process that is patched as the API's are.
"""
# ruff: noqa: E402 (patched first, as in gunicorn_conf.py)

from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()

import os
import threading
from time import monotonic

import gevent
import psycopg

from service.config import DatabaseConfig
from service.database.engine.deadline import bounded, set_deadline
from service.database.engine.pool import Database
from service.database.engine.query import Query
from service.environment import Environment
from service.errors import DatabaseUnavailableError
from service.threads import BackgroundThread

SLEEPERS = 8
SLEEP = Query("SELECT pg_sleep(%(seconds)s)::text AS id", str, retryable=True)


def statements_wait_side_by_side(database: Database) -> None:
    """Run one statement per connection in hardly more time than one takes."""
    turns = 0

    def take_turns() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0.01)
            turns += 1

    other = gevent.spawn(take_turns)
    began = monotonic()
    gevent.joinall([gevent.spawn(sleep, database, 1.0) for _ in range(SLEEPERS)], raise_error=True)
    assert monotonic() - began < SLEEPERS / 2
    assert turns > 10
    other.kill()


def sleep(database: Database, seconds: float, limit_s: float | None = None) -> None:
    """Sleep on the server, within a limit if there is one."""
    if limit_s is not None:
        set_deadline(limit_s)
    database.fetch_all(SLEEP, {"seconds": seconds})


def deadlines_are_per_greenlet(database: Database) -> None:
    """Only the greenlet with the short deadline times out."""
    patient = gevent.spawn(sleep, database, 1.5, 10.0)
    hasty = gevent.spawn(sleep, database, 5.0, 0.5)
    hasty.join()
    assert isinstance(hasty.exception, DatabaseUnavailableError)
    patient.get()
    set_deadline(0.001)
    seen: list[float] = []
    thread = BackgroundThread(lambda: seen.append(bounded(60)), "background")
    gevent.spawn(thread.start).join()
    thread.join(5)
    set_deadline(3600)
    assert seen == [60], f"a thread has the deadline of a request: {seen}"


def locks_wait_for_greenlets() -> None:
    """A held lock blocks one greenlet, not the process."""
    lock, order = threading.Lock(), []

    def hold() -> None:
        with lock:
            order.append("held")
            gevent.sleep(0.1)
            order.append("released")

    def want() -> None:
        with lock:
            order.append("taken")

    def go_on() -> None:
        order.append("others")

    gevent.joinall([gevent.spawn(hold), gevent.spawn(want), gevent.spawn(go_on)], raise_error=True)
    assert order == ["held", "others", "released", "taken"]


def main() -> None:
    """Raise an error if one of the checks fails."""
    assert psycopg.waiting.wait is psycopg.waiting.wait_poll
    locks_wait_for_greenlets()
    values = {"DATABASE_URL": os.environ["DATABASE_URL"], "DB_POOL_MIN": str(SLEEPERS)}
    database = Database(DatabaseConfig.read(Environment(values)), "greenlets")
    database.open()
    try:
        statements_wait_side_by_side(database)
        deadlines_are_per_greenlet(database)
    finally:
        database.close()


if __name__ == "__main__":
    main()
