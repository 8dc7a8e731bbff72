"""CPU time and memory of a program and its descendants, as the kernel counts them."""

import contextlib
from collections.abc import Iterator

import psutil


def tree(pid: int) -> Iterator[psutil.Process]:
    """Return the running processes among this one and its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)


def cpu_s(pid: int) -> float:
    """CPU seconds of the whole tree since the start, including ended processes that were reaped."""
    used = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:4])
    return used


def pss_bytes(pid: int) -> int:
    """Memory of the whole tree; shared memory counts once, divided among its processes."""
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
