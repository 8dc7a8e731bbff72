"""What a program and all that it started use: CPU time, and memory, as the kernel counts them."""

import contextlib
from collections.abc import Iterator

import psutil


def tree(pid: int) -> Iterator[psutil.Process]:
    """A process and all its descendants that run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)


def cpu_s(pid: int) -> float:
    """Seconds on a core since the start, of the whole tree; those that have ended and were reaped count."""
    used = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:4])
    return used


def pss_bytes(pid: int) -> int:
    """Memory of the whole tree: what several processes share counts once, in equal parts."""
    used = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += process.memory_full_info().pss
    return used


def open_files(pid: int) -> int:
    """File descriptors of the whole tree."""
    opened = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            opened += process.num_fds()
    return opened
