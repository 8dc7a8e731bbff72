"""Starts the parts of Millgate in order, keeps them running, and leaves nothing behind."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from devstack.errors import StackError, StopAskedError
from devstack.processes.child import Child, Part
from devstack.processes.log_files import bound_log, last_lines, size_of
from devstack.processes.orphans import MARK, RunningChild, describe
from devstack.processes.owner import ProcessOwner
from devstack.processes.restart_backoff import RestartPlan, stop_limits
from devstack.processes.signals import StopRequest

STOP_TOTAL_S = 8.0
STOP_LEAST_SHARE = 0.19
POLL_INTERVAL_S = 0.05


@dataclass
class Watched:
    """A part that was started, with what is known about its life."""

    part: Part
    running: RunningChild | None = None
    started_at: float = 0.0
    log_start: int = 0
    plan: RestartPlan = field(default_factory=RestartPlan)
    restart_at: float | None = None


class Supervisor:
    """The owner of one data directory and of the parts that work on it. Belongs to the main thread.

    Enter it to take the directory; leave it to stop all parts, in reverse order, within 10 s.
    """

    def __init__(
        self,
        data_dir: Path,
        say: Callable[[str], None],
        stopping: StopRequest,
        stop_total_s: float = STOP_TOTAL_S,
    ) -> None:
        """`say` shows a person one line; `stop_total_s` is for all parts together, before force."""
        self._stop_total_s = stop_total_s
        self._owner = ProcessOwner(data_dir)
        self.data_dir = self._owner.directory
        self.log_dir = self.data_dir / "log"
        self._say = say
        self._stopping = stopping
        self._watched: list[Watched] = []

    def __enter__(self) -> Self:
        self._owner.__enter__()
        if self.log_dir.exists():
            # An earlier version left it open to others; a new one is made with the first log.
            self.log_dir.chmod(0o700)
        if self._owner.leftovers:
            self._say("Ended what an earlier run had left running.")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_all()
        self._owner.__exit__()

    def child(
        self, name: str, command: tuple[str, ...], environment: dict[str, str], **more: object
    ) -> Child:
        """A program that logs into this data directory and carries its mark, not yet started."""
        marked = {**environment, MARK: self._owner.mark}
        return Child(name, command, marked, self.log_dir / f"{name}.log", **more)  # type: ignore[arg-type]

    def start(self, part: Part) -> None:
        """Start a part and keep it running from now on. Raises StackError or StopAskedError."""
        watched = Watched(part)
        self._watched.append(watched)
        self._start(watched)

    def run_once(self, child: Child, timeout_s: float) -> None:
        """Run a program to its end. Raises StackError with its last lines unless it ends well."""
        watched = Watched(child)
        self._watched.append(watched)
        self._start(watched)
        self._wait(lambda: child.exit_code() is not None, timeout_s, f"{child.name} to end")
        self._watched.remove(watched)
        if child.exit_code() != 0:
            raise self._failure(watched)
        self._hold()

    def wait_until(self, ready: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for a condition while all parts run. Raises StackError if one dies, or StopAskedError."""
        self._wait(lambda: self._check_alive() and ready(), timeout_s, what)

    def look_after(self) -> None:
        """One round: notice dead parts, start those whose time has come, keep logs bounded.

        Does not block, except while PostgreSQL starts again.
        """
        now = time.monotonic()
        for watched in self._watched:
            if watched.restart_at is None and watched.part.exit_code() is not None:
                self._plan_restart(watched, now)
            elif watched.restart_at is not None and now >= watched.restart_at:
                self._restart(watched)
            bound_log(watched.part.log_path)
        self._owner.replace_dead_reaper()

    def _start(self, watched: Watched) -> None:
        watched.log_start = size_of(watched.part.log_path)
        watched.started_at = time.monotonic()
        watched.restart_at = None
        part = watched.part

        def on_spawn(pid: int) -> None:
            watched.running = describe(part.name, pid, part.stop_signal, part.stop_limit_s)
            self._hold()

        part.start(on_spawn=on_spawn, give_up=self._stopping.is_requested)

    def _plan_restart(self, watched: Watched, now: float) -> None:
        watched.plan = watched.plan.after_death(now - watched.started_at)
        watched.restart_at = now + watched.plan.delay_s
        self._say(
            f"{watched.part.name} ended unexpectedly ({how_it_ended(watched.part.exit_code())}); "
            f"starting it again in {watched.plan.delay_s:.0f} s. Its log: {watched.part.log_path}"
        )

    def _restart(self, watched: Watched) -> None:
        try:
            watched.part.stop(0.0)
            self._start(watched)
        except StackError as error:
            if not self._stopping.requested:
                self._say(str(error))
                watched.plan = watched.plan.after_death(0.0)
                watched.restart_at = time.monotonic() + watched.plan.delay_s
            return
        self._say(f"{watched.part.name} was started again.")

    def _check_alive(self) -> bool:
        for watched in self._watched:
            if watched.part.exit_code() is not None:
                raise self._failure(watched)
        return True

    def _failure(self, watched: Watched) -> StackError:
        ending = how_it_ended(watched.part.exit_code())
        words = last_lines(watched.part.log_path, watched.log_start)
        return StackError("\n".join([f"{watched.part.name} could not start ({ending}):", *words]))

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self._stopping.requested:
                raise StopAskedError
            if time.monotonic() > deadline:
                raise StackError(
                    f"Waited {timeout_s:.0f} s in vain for {what}. The logs are in {self.log_dir}"
                )
            self._stopping.wait(POLL_INTERVAL_S)

    def _hold(self) -> None:
        self._owner.hold([each.running for each in self._watched if each.running is not None])

    def _stop_all(self) -> None:
        parts = [watched.part for watched in reversed(self._watched)]
        for part in parts:
            part.ask_to_stop()
        deadline = time.monotonic() + self._stop_total_s
        while parts:
            left_s = max(0.0, deadline - time.monotonic())
            limit_s = stop_limits(
                [part.stop_limit_s for part in parts], left_s, self._stop_total_s * STOP_LEAST_SHARE
            )[0]
            parts.pop(0).stop(limit_s)
        self._watched.clear()


def how_it_ended(code: int | None) -> str:
    """An exit code for people."""
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
