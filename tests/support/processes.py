"""Killing and freezing what the API runs on: its own processes, and PostgreSQL's."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from devstack.postgres.server import EmbeddedPostgres


def children(pid: int) -> list[psutil.Process]:
    """The processes below this one."""
    return psutil.Process(pid).children(recursive=True)


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, whoever is to bury it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Stops every process of a server where it is, without closing anything; they go on afterwards."""
    whole = [psutil.Process(postgres.pid)]
    try:
        # The first one frozen forks no more, so that none is missed.
        whole[0].suspend()
        whole += children(postgres.pid)
        for process in whole[1:]:
            process.suspend()
        yield
    finally:
        for process in reversed(whole):
            if process.is_running():
                process.send_signal(signal.SIGCONT)
