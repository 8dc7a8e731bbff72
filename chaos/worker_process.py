"""A worker process: started, frozen, killed, and asked to end."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import psutil

from devstack.commands import WORKER, local
from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox, tagged
from devstack.processes.child import Child
from devstack.project import PROJECT

CLOCK_DIRECTORY = Path(__file__).parent / "wrong_clock"
SILENT_NAMES_DIRECTORY = Path(__file__).parent / "silent_names"


class WorkerProcess:
    """`python -m workers`, with default settings but for `changes`. Started when made."""

    def __init__(
        self,
        sandbox: Sandbox,
        directory: Path,
        environment: Mapping[str, str],
        runs_first: Path | None = None,
        file_limit: int | None = None,
    ) -> None:
        """`runs_first`: a folder whose `sitecustomize` changes the process's world.

        `file_limit`: as `ulimit -n` has it.
        """
        limit = () if file_limit is None else ("sh", "-c", f'ulimit -n {file_limit} && exec "$@"', "sh")
        paths = [str(path) for path in (runs_first, PROJECT) if path is not None]
        seen = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths), **environment}
        number = len(list(directory.glob("worker-*.log"))) + 1
        self._child = Child(
            f"worker-{number}",
            (*limit, *local(WORKER)),
            tagged(sandbox, seen),
            directory / f"worker-{number}.log",
            # Not in the project's directory: a developer's .env is none of our business.
            directory=directory,
        )
        sandbox.start_child(self._child)

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._child.process is None:
            raise StackError("the worker does not run")
        return self._child.process.pid

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self._child.log_path.read_text(errors="replace")

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, or dead and not collected yet."""
        return self._child.exit_code() is not None

    @property
    def rss_bytes(self) -> int:
        """Its memory, as the system counts it."""
        return int(psutil.Process(self.pid).memory_info().rss)

    @property
    def cpu_s(self) -> float:
        """The processor time it has used so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def send(self, number: signal.Signals) -> None:
        """Sends the process, and nobody else, a signal. Harmless when it is dead."""
        if self._child.process is not None:
            self._child.process.send_signal(number)

    def wait_for_end(self, limit_s: float) -> float | None:
        """The monotonic time of its end; None when it goes on after the limit."""
        if self._child.process is None:
            return None
        try:
            self._child.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        return monotonic()

    def close(self) -> None:
        """Ends it by force, also a frozen one. Harmless twice."""
        if self._child.process is not None:
            self._child.process.kill()
        self._child.stop(0)
