"""One supervised child process, in its own session, logging to a file."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from devstack.processes.log_files import open_log
from devstack.processes.orphans import end_group
from devstack.project import PROJECT

FORCED_END_LIMIT_S = 2.0


class ManagedProcess(Protocol):
    """A process that the supervisor starts, watches and stops: a Child or an EmbeddedPostgres."""

    name: str
    log_path: Path
    stop_signal: int
    stop_limit_s: float

    def start(self, *, on_spawn: Callable[[int], None], cancelled: Callable[[], bool]) -> None:
        """Start; `on_spawn` gets the process id immediately. Raises StackError if it cannot be started."""

    def request_stop(self) -> None:
        """Request a stop, unless other processes still need it. Harmless when it is not running."""

    def stop(self, limit_s: float) -> None:
        """Stop it; kill it after the limit. Harmless when it is not running."""

    def exit_code(self) -> int | None:
        """Return the exit code; None while it runs."""


@dataclass
class Child:
    """A program to run. `command` is complete (see `commands.local`), `environment` is its whole environment.

    With `pipe_stdio` its standard input and output are pipes of `process`; otherwise it writes to the log.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log_path: Path
    stop_limit_s: float = 5.0
    pipe_stdio: bool = False
    stop_early: bool = False
    """Whether it may stop while other processes are still being stopped."""
    directory: Path = PROJECT
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(
        self,
        *,
        on_spawn: Callable[[int], None] = lambda _pid: None,
        cancelled: Callable[[], bool] = lambda: False,  # noqa: ARG002  (starting a program takes no time)
    ) -> None:
        """Start the program. Does not wait until it is ready."""
        self._close_pipes()
        log = open_log(self.log_path)
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE if self.pipe_stdio else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.pipe_stdio else log,
                stderr=log,
                env=dict(self.environment),
                cwd=self.directory,
                start_new_session=True,
            )
        finally:
            os.close(log)
        on_spawn(self.process.pid)

    def exit_code(self) -> int | None:
        """Return the exit code; None while the program runs."""
        return None if self.process is None else self.process.poll()

    def request_stop(self) -> None:
        """Request a stop, if no other process needs it until the end."""
        if self.stop_early and self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)

    def stop(self, limit_s: float) -> None:
        """Request a stop, wait, then kill it and what it started."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(limit_s)
        end_group(self.process.pid)
        self.process.wait(FORCED_END_LIMIT_S)
        self._close_pipes()
        self.process = None

    def _close_pipes(self) -> None:
        if self.process is not None and self.pipe_stdio:
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
