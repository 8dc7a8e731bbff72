"""Kills and freezes processes of the API and of PostgreSQL."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from devstack.postgres.server import EmbeddedPostgres


def children(pid: int) -> list[psutil.Process]:
    """Return the descendants of this process."""
    return psutil.Process(pid).children(recursive=True)


def has_ended(process: psutil.Process) -> bool:
    """Whether it has ended, reaped or not."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Stop every process of a server with SIGSTOP; continue them at the end of the block."""
    whole = [psutil.Process(postgres.pid)]
    try:
        # The parent is frozen first and forks no more, so no process is missed.
        whole[0].suspend()
        whole += children(postgres.pid)
        for process in whole[1:]:
            process.suspend()
        yield
    finally:
        for process in reversed(whole):
            if process.is_running():
                process.send_signal(signal.SIGCONT)
