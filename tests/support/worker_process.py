"""Real workers, in a thread of the test or in a separate process."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from devstack.project import PROJECT
from service.gateway_states import State
from tests.support.inherited import inherited
from tests.support.worker_settings import worker_config, worker_environment
from workers.gateway_manager.registry import GatewayRegistry
from workers.worker import Worker

STOP_LIMIT_S = 12.0


class ThreadedWorker:
    """A worker in this process, started on creation; `stop` may be called twice."""

    def __init__(self, database_url: str, changes: Mapping[str, str]) -> None:
        self.worker = Worker(worker_config(database_url, **changes))
        self._thread = threading.Thread(target=self.worker.run, name="worker-under-test", daemon=True)
        self._thread.start()

    @property
    def registry(self) -> GatewayRegistry:
        """Return its registry."""
        return self.worker._registry

    def state(self, row_id: UUID) -> State | None:
        """Return a gateway's state in its registry; None if it does not hold it."""
        observation = self.registry.find(row_id)
        return None if observation is None or observation.is_finished else observation.state

    def stop(self) -> None:
        """Stop it as SIGTERM does."""
        self.worker.request_stop()
        self._thread.join(STOP_LIMIT_S)
        assert not self._thread.is_alive(), "the worker did not stop in time"


class WorkerProcess:
    """`python -m workers`, started on creation."""

    def __init__(
        self,
        database_url: str,
        directory: Path,
        changes: Mapping[str, str],
        file_limit: int | None = None,
    ) -> None:
        """`file_limit`: its limit on open files."""
        limit = [] if file_limit is None else ["sh", "-c", f'ulimit -n {file_limit} && exec "$@"', "sh"]
        self.log_path = directory / "worker.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*limit, sys.executable, "-m", "workers"],
                # Not in the project's directory, where a developer's .env would be read.
                cwd=directory,
                env={
                    **inherited(),
                    "PYTHONPATH": str(PROJECT),
                    **worker_environment(database_url, changes),
                },
                stdout=log,
                stderr=log,
                # In one process group with its watchdog, so that both can be frozen like a machine.
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """Return its whole output."""
        return self.log_path.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def send_to_all(self, number: signal.Signals) -> None:
        """Send a signal to it and its watchdog."""
        os.killpg(self.process.pid, number)

    def terminate(self) -> int:
        """Stop it as an operator does; return its exit status."""
        self.send(signal.SIGTERM)
        return self.process.wait(STOP_LIMIT_S)

    def kill(self) -> None:
        """Kill it if it still runs, even if frozen."""
        self.process.kill()
        self.process.wait(STOP_LIMIT_S)
        with suppress(ProcessLookupError):
            # A frozen watchdog does not notice the end of its worker.
            self.send_to_all(signal.SIGCONT)
