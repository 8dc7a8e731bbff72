"""How many gateways a worker can hold by the limits of its system, computed before it claims any."""

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.gateway_manager.websocket.waker import WAKERS_PER_DESCRIPTOR

BYTES_PER_GATEWAY = 64 * 1024
"""In total, rounded up: its thread's stack, its session, its buffers in the kernel."""
# For everything but gateways: the database, lookups, connection tests, metrics.
RESERVED_FILES = 100
RESERVED_THREADS = 50
RESERVED_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SystemCapacity:
    """A number of gateways, and the limit that determines it, in words."""

    gateways: int
    limit: str


def read_system_capacity(
    membership: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")
) -> SystemCapacity:
    """The smallest number that a limit on files, threads or memory allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 2**31 if soft == resource.RLIM_INFINITY else soft
    room = [SystemCapacity(gateways_within(files), f"{files} open files")]
    for directory in _control_groups(membership, cgroups):
        threads, memory = _read(directory / "pids.max"), _read(directory / "memory.max")
        if threads is not None:
            left = threads - (_read(directory / "pids.current") or 0) - RESERVED_THREADS
            room.append(SystemCapacity(left, f"{threads} threads of the control group"))
        if memory is not None:
            gateways = (memory - RESERVED_BYTES) // BYTES_PER_GATEWAY
            room.append(SystemCapacity(gateways, f"{memory >> 20} MiB of the control group"))
    least = min(room, key=lambda each: each.gateways)
    return SystemCapacity(max(0, least.gateways), least.limit)


def gateways_within(files: int) -> int:
    """How many gateways this number of open files allows: a socket each, and a share of a wake descriptor."""
    return max(0, files - RESERVED_FILES) * WAKERS_PER_DESCRIPTOR // (WAKERS_PER_DESCRIPTOR + 1)


def _control_groups(membership: Path, cgroups: Path) -> Iterator[Path]:
    """The directories of this process's control group and its parents (version 2), if there are any."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::"):
            directory = cgroups / line[3:].lstrip("/")
            yield directory
            yield from (above for above in directory.parents if above.is_relative_to(cgroups))


def _read(path: Path) -> int | None:
    """The number in a file; None for `max`, or without the file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
