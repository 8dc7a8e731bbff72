"""One child process under supervision, in a session of its own, logging to a file."""

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


class Part(Protocol):
    """What the supervisor starts, watches and stops: a Child, or an EmbeddedPostgres."""

    name: str
    log_path: Path
    stop_signal: int
    stop_limit_s: float

    def start(self, *, on_spawn: Callable[[int], None], give_up: Callable[[], bool]) -> None:
        """Start; `on_spawn` gets the process id at once. Raises StackError if it cannot be started."""

    def ask_to_stop(self) -> None:
        """Ask it to end, unless it has to outlive other parts. Harmless when it is not running."""

    def stop(self, limit_s: float) -> None:
        """End it, by force after the limit. Harmless when it is not running."""

    def exit_code(self) -> int | None:
        """None while it runs."""


@dataclass
class Child:
    """A program to run. `command` is complete (see `commands.local`), `environment` is all that it sees.

    With `talks` its standard input and output are pipes of `process`, for whoever started it; else its output
    goes to the log.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log_path: Path
    stop_limit_s: float = 5.0
    talks: bool = False
    stops_at_once: bool = False
    """Whether it may be asked to stop while other parts are still being stopped."""
    directory: Path = PROJECT
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(
        self,
        *,
        on_spawn: Callable[[int], None] = lambda _pid: None,
        give_up: Callable[[], bool] = lambda: False,  # noqa: ARG002  (a program is started in no time)
    ) -> None:
        """Start the program. Does not wait until it is ready for anything."""
        self._close_pipes()
        log = open_log(self.log_path)
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE if self.talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.talks else log,
                stderr=log,
                env=dict(self.environment),
                cwd=self.directory,
                start_new_session=True,
            )
        finally:
            os.close(log)
        on_spawn(self.process.pid)

    def exit_code(self) -> int | None:
        """None while the program runs."""
        return None if self.process is None else self.process.poll()

    def ask_to_stop(self) -> None:
        """Ask it to end, if no other part needs it to the last."""
        if self.stops_at_once and self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)

    def stop(self, limit_s: float) -> None:
        """Ask it to end, wait, then end it and what it started by force."""
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
        if self.process is not None and self.talks:
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
