"""A fleet of gateways in a separate process, and their counters."""

import json
import secrets
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, Self

from bench.environment import BenchEnvironment
from devstack.commands import local
from devstack.errors import StackError
from devstack.harness.line_process import LineProcess
from devstack.postgres.server import free_port

EMAIL = "bench@example.com"
POLL_INTERVAL_S = 0.05
MESSAGES_LIMIT_S = 20.0


class GatewayFleet:
    """`count` gateways that listen from creation until the end of the block. For one thread."""

    def __init__(
        self,
        env: BenchEnvironment,
        count: int,
        *,
        is_silent: bool = False,
        hanging: int = 0,
        is_away: bool = False,
    ) -> None:
        """`is_silent`: they do not answer the subscription, as in the manual; some firmware does.

        `hanging`: that many of them, the first ones, accept connections and never answer. `is_away`:
        nothing listens before `return_`.
        """
        # Fleets that share a database need different names.
        prefix = f"{secrets.token_hex(2)}-"
        self.names = [f"{prefix}{number:05d}" for number in range(1, count + 1)]
        self.password = secrets.token_urlsafe(12)
        self._env = env
        self._port = free_port() if is_away else 0
        self._arguments = ["--gateways", str(count), "--email", EMAIL, "--prefix", prefix]
        self._arguments += ["--hanging", str(hanging), *(["--silent"] if is_silent else [])]
        self._process: LineProcess | None = None
        if not is_away:
            self.return_()

    def return_(self) -> float:
        """Start listening; return the time at which it did (monotonic seconds)."""
        self._process = LineProcess(
            self._env.sandbox,
            f"gateways-{secrets.token_hex(4)}",
            local(
                ("python", "-m", "bench.worker.gateway_server", "--port", str(self._port), *self._arguments)
            ),
            self._env.directory,
            {"GATEWAYS_PASSWORD": self.password},
        )
        self._env.on_close(self._process.close)
        self._port = int(self._process.greeting["port"])
        return monotonic()

    @property
    def _child(self) -> LineProcess:
        if self._process is None:
            raise StackError("the gateways of a fleet are not listening")
        return self._process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.close()

    def url(self, name: str) -> str:
        """Return a gateway's URL."""
        return f"ws://127.0.0.1:{self._port}/{name}"

    def count(self) -> dict[str, Any]:
        """Return the server's `Counters` (see gateway_server), `subscribed` now, and its own `cpu_s`."""
        return self._ask({"do": "count"})

    def await_subscribed(
        self, count: int, limit_s: float, check: Callable[[], object] = lambda: None
    ) -> float:
        """Wait until `count` gateways were subscribed to; return when (monotonic seconds). Raises StackError.

        `check` is called while waiting; it may raise if there is nothing to wait for.
        """
        seen: dict[str, Any] = {}

        def all_are() -> bool:
            check()
            seen.update(self.count())
            return int(seen["subscribed"]) >= count

        if self._env.sandbox.wait_until(all_are, limit_s, POLL_INTERVAL_S) is None:
            raise StackError(
                f"after {limit_s:g} s {seen['subscribed']} of {count} gateways were subscribed to"
            )
        if seen["violations"] or seen["rejected_logins"]:
            raise StackError(f"a client did not keep to the protocol: {seen}")
        return float(seen["last_subscribed_at"])

    def cut(self, names: list[str]) -> float:
        """Reset the sessions of these gateways; return when (monotonic seconds)."""
        return float(self._ask({"do": "cut", "gateways": names})["at"])

    def take_back(self) -> dict[str, float]:
        """Return when gateways were subscribed to since the last call."""
        return dict(self._ask({"do": "back"})["back"])

    def push(self, what: str, per_s: float, for_s: float) -> dict[str, Any]:
        """Send notifications over all sessions in turn: temperatures or waveforms (60 KB). Blocks.

        Returns the fields of a `bench.worker.gateway_server.load.Pushed`.
        """
        answer = self._ask({"do": "push", "loads": [{"what": what, "per_s": per_s, "for_s": for_s}]})
        pushed: dict[str, Any] = answer["pushed"][0]
        return pushed

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        return self._child.ask(json.dumps(order))
