"""Load from wrk: one kind of request, as fast as the contestant answers."""

import json
from dataclasses import dataclass
from pathlib import Path

from bench.environment import BenchEnvironment
from bench.tools import wrk
from devstack.errors import StackError

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 16
OWNER_ENV = "MEASURED "
"""The prefix of the script's line in wrk's output."""


@dataclass(frozen=True)
class Load:
    """What wrk counted."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Answers of 400 or more, and requests that were never answered."""

    @property
    def requests_per_s(self) -> float:
        """The rate."""
        return self.requests / self.duration_s


def parse(output: str) -> Load:
    """Return the script's last line. Raises StackError with wrk's output if there is none."""
    for line in reversed(output.splitlines()):
        if line.startswith(OWNER_ENV):
            counted = json.loads(line.removeprefix(OWNER_ENV))
            return Load(
                requests=counted["requests"],
                duration_s=counted["duration_us"] / 1e6,
                p50_ms=counted["p50_us"] / 1e3,
                p99_ms=counted["p99_us"] / 1e3,
                failed=counted["failed"],
            )
    raise StackError(f"wrk measured nothing: {output.strip()[-300:]}")


@dataclass(frozen=True)
class Wrk:
    """Loads contestants from a bench environment; `gateways` is the file that the script reads."""

    env: BenchEnvironment
    gateways: Path

    def load(self, port: int, kind: str, mark: str, duration_s: int) -> Load:
        """Load the server at that port; wrk counts whole seconds. Raises StackError, StopAskedError."""
        options = ("--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{duration_s}s")
        script = ("--latency", "--timeout", "10s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}")
        command = (wrk(), *options, *script, "--", kind, str(self.gateways), mark)
        return parse(self.env.run("wrk", command, limit_s=duration_s + 20))
