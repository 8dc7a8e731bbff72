"""Limits of the code that manifests and units repeat."""

import re

from devstack.commands import API
from devstack.project import PROJECT
from service.environment import Environment
from workers.config import WorkerConfig
from workers.system_limits import BYTES_PER_GATEWAY, RESERVED_BYTES, RESERVED_THREADS

GATEWAYS = 10_000
"""The number of gateways that a worker must have room for."""
MIB = 1024 * 1024
MEMORY_FOR_GATEWAYS = RESERVED_BYTES + GATEWAYS * BYTES_PER_GATEWAY
THREADS_FOR_GATEWAYS = RESERVED_THREADS + GATEWAYS
# The API's two processes, each with its clients' buffers, and 256 MiB for the programs.
MEMORY_FOR_API = 2 * 128 * MIB + 256 * MIB
# The time that both need beyond their stop timeouts.
STOP_RESERVE_S = {"api": 5, "worker": 10}


def seconds_to_stop(part: str) -> float:
    """Return how long the part may take to stop."""
    if part == "worker":
        needed = {"DATABASE_URL": "postgresql://h/d", "ENCRYPTION_KEY": "none"}
        return WorkerConfig.read(Environment(needed)).drain_timeout_s + STOP_RESERVE_S[part]
    found = re.search(r"^graceful_timeout = (\d+)$", (PROJECT / API[2]).read_text(), re.MULTILINE)
    assert found
    return float(found[1]) + STOP_RESERVE_S[part]
