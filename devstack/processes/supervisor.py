"""Starts the processes of Millgate in order, restarts those that die, and stops all at the end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from devstack.errors import StackError, StopAskedError
from devstack.processes.child import Child, ManagedProcess
from devstack.processes.log_files import bound_log, last_lines, size_of
from devstack.processes.orphans import OWNER_ENV, ProcessRecord, capture_record
from devstack.processes.owner import ProcessOwner
from devstack.processes.restart_backoff import RestartBackoff, allocate_stop_timeouts
from devstack.processes.signals import StopRequest

STOP_TOTAL_S = 8.0
STOP_LEAST_SHARE = 0.19
POLL_INTERVAL_S = 0.05


@dataclass
class ProcessState:
    """A process that was started, and its restart state."""

    process: ManagedProcess
    running: ProcessRecord | None = None
    started_at: float = 0.0
    log_start: int = 0
    backoff: RestartBackoff = field(default_factory=RestartBackoff)
    restart_at: float | None = None


class Supervisor:
    """Owns one data directory and the processes that work in it. For the main thread.

    Enter it to lock the directory; leave it to stop all processes in reverse order, within 10 s.
    """

    def __init__(
        self,
        data_dir: Path,
        say: Callable[[str], None],
        stopping: StopRequest,
        stop_total_s: float = STOP_TOTAL_S,
    ) -> None:
        """`say` prints one line; `stop_total_s` is how long all processes together may take to stop."""
        self._stop_total_s = stop_total_s
        self._owner = ProcessOwner(data_dir)
        self.data_dir = self._owner.directory
        self.log_dir = self.data_dir / "log"
        self._say = say
        self._stopping = stopping
        self._states: list[ProcessState] = []

    def __enter__(self) -> Self:
        self._owner.__enter__()
        if self.log_dir.exists():
            # An earlier version left it readable for others; a new one is made with the first log.
            self.log_dir.chmod(0o700)
        if self._owner.orphans_killed:
            self._say("Stopped processes that an earlier run had left running.")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_all()
        self._owner.__exit__()

    def child(
        self, name: str, command: tuple[str, ...], environment: dict[str, str], **more: object
    ) -> Child:
        """Return a child that logs into this data directory and has its owner tag; not yet started."""
        tagged = {**environment, OWNER_ENV: self._owner.owner_tag}
        return Child(name, command, tagged, self.log_dir / f"{name}.log", **more)  # type: ignore[arg-type]

    def start(self, process: ManagedProcess) -> None:
        """Start a process and keep it running. Raises StackError or StopAskedError."""
        state = ProcessState(process)
        self._states.append(state)
        self._start(state)

    def run_once(self, child: Child, timeout_s: float) -> None:
        """Run a program to its end. Raises StackError with its last log lines if it fails."""
        state = ProcessState(child)
        self._states.append(state)
        self._start(state)
        self._wait(lambda: child.exit_code() is not None, timeout_s, f"{child.name} to end")
        self._states.remove(state)
        if child.exit_code() != 0:
            raise self._failure(state)
        self._hold()

    def wait_until(self, ready: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for a condition while all processes run. Raises StackError if one dies, or StopAskedError."""
        self._wait(lambda: self._check_alive() and ready(), timeout_s, what)

    def tick(self) -> None:
        """Run one round: detect dead processes, restart those that are due, bound the logs.

        Does not block, except while PostgreSQL starts again.
        """
        now = time.monotonic()
        for state in self._states:
            if state.restart_at is None and state.process.exit_code() is not None:
                self._plan_restart(state, now)
            elif state.restart_at is not None and now >= state.restart_at:
                self._restart(state)
            bound_log(state.process.log_path)
        self._owner.replace_dead_reaper()

    def _start(self, state: ProcessState) -> None:
        state.log_start = size_of(state.process.log_path)
        state.started_at = time.monotonic()
        state.restart_at = None
        process = state.process

        def on_spawn(pid: int) -> None:
            state.running = capture_record(process.name, pid, process.stop_signal, process.stop_limit_s)
            self._hold()

        process.start(on_spawn=on_spawn, cancelled=self._stopping.is_requested)

    def _plan_restart(self, state: ProcessState, now: float) -> None:
        state.backoff = state.backoff.next(now - state.started_at)
        state.restart_at = now + state.backoff.delay_s
        self._say(
            f"{state.process.name} ended unexpectedly ({describe_exit(state.process.exit_code())}); "
            f"starting it again in {state.backoff.delay_s:.0f} s. Its log: {state.process.log_path}"
        )

    def _restart(self, state: ProcessState) -> None:
        try:
            state.process.stop(0.0)
            self._start(state)
        except StackError as error:
            if not self._stopping.requested:
                self._say(str(error))
                state.backoff = state.backoff.next(0.0)
                state.restart_at = time.monotonic() + state.backoff.delay_s
            return
        self._say(f"{state.process.name} was started again.")

    def _check_alive(self) -> bool:
        for state in self._states:
            if state.process.exit_code() is not None:
                raise self._failure(state)
        return True

    def _failure(self, state: ProcessState) -> StackError:
        ending = describe_exit(state.process.exit_code())
        words = last_lines(state.process.log_path, state.log_start)
        return StackError("\n".join([f"{state.process.name} could not start ({ending}):", *words]))

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self._stopping.requested:
                raise StopAskedError
            if time.monotonic() > deadline:
                raise StackError(
                    f"Waiting for {what} timed out after {timeout_s:.0f} s. The logs are in {self.log_dir}"
                )
            self._stopping.wait(POLL_INTERVAL_S)

    def _hold(self) -> None:
        self._owner.hold([each.running for each in self._states if each.running is not None])

    def _stop_all(self) -> None:
        processes = [state.process for state in reversed(self._states)]
        for process in processes:
            process.request_stop()
        deadline = time.monotonic() + self._stop_total_s
        while processes:
            left_s = max(0.0, deadline - time.monotonic())
            limit_s = allocate_stop_timeouts(
                [process.stop_limit_s for process in processes], left_s, self._stop_total_s * STOP_LEAST_SHARE
            )[0]
            processes.pop(0).stop(limit_s)
        self._states.clear()


def describe_exit(code: int | None) -> str:
    """Describe an exit code in words."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
