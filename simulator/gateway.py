"""A test's handle on a simulated gateway: its counters and its controls. Any thread may call."""

import asyncio
from collections.abc import Callable
from threading import Condition
from typing import Literal, Unpack

from simulator.connection.listener import Listener
from simulator.counters import SessionEnd, wait_until
from simulator.faults import Fault, FaultOptions, FaultPlan
from simulator.gateway_state import GatewayState
from simulator.loop_thread import LoopThread
from simulator.messages import Json, encode
from simulator.settings import Credentials

Cut = Literal["rst", "fin", "close"]
CUT_TIMEOUT_S = 5.0


class Gateway:
    """One gateway of a site. Methods return after they have taken effect."""

    def __init__(
        self,
        gateway_state: GatewayState,
        url: str,
        own_listener: Listener | None,
        loop: LoopThread,
        changed: Condition,
    ) -> None:
        self.gateway_id = gateway_state.gateway_id
        self.url = url
        self._state = gateway_state
        self._own_listener = own_listener
        self._loop = loop
        self._changed = changed

    # Counters.

    @property
    def attempts(self) -> int:
        """Connections so far: TCP connections on its own port, or requests that named it on a shared one."""
        return self._state.counters.attempts

    @property
    def logins(self) -> int:
        """Accepted logins so far."""
        return self._state.counters.logins

    @property
    def login_times(self) -> list[float]:
        """Times of accepted logins, oldest first, by `time.monotonic` (the last 10,000)."""
        with self._changed:
            return list(self._state.counters.login_times)

    @property
    def rejected_logins(self) -> int:
        """Rejected logins so far."""
        return self._state.counters.rejected_logins

    @property
    def subscriptions(self) -> int:
        """Accepted subscriptions so far."""
        return self._state.counters.subscriptions

    @property
    def open_sessions(self) -> int:
        """Logged-in sessions that neither side has started to close, in the order of arrival."""
        return self._state.counters.open_sessions

    @property
    def max_open_sessions(self) -> int:
        """The most sessions that were ever open at the same time."""
        return self._state.counters.max_open_sessions

    @property
    def sessions_closed(self) -> list[SessionEnd]:
        """Ended sessions, oldest first (the last 10,000)."""
        with self._changed:
            return list(self._state.counters.sessions_closed)

    @property
    def violations(self) -> list[str]:
        """Protocol violations of clients, oldest first (the last 10,000), without field values."""
        with self._changed:
            return list(self._state.counters.violations)

    def summary(self) -> dict[str, int]:
        """Return a consistent snapshot of all counters."""
        return self._state.counters.summary()

    def wait(self, holds: Callable[["Gateway"], bool], timeout_s: float = 5.0) -> None:
        """Wait until `holds(gateway)`, checked after each change. Raises TimeoutError with the counters."""
        wait_until(
            self._changed, lambda: holds(self), timeout_s, lambda: f"{self.gateway_id}: {self.summary()}"
        )

    # Controls.

    @property
    def credentials(self) -> Credentials:
        """The login that it accepts; a change applies to later logins."""
        return self._state.credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        self._loop.do(lambda: setattr(self._state, "credentials", credentials))

    def fault(self, kind: Fault | None, **options: Unpack[FaultOptions]) -> None:
        """Set the fault from the next connection on; None = no fault. Raises ValueError for a bad option."""
        plan = None if kind is None else FaultPlan(kind, **options)
        self._loop.do(lambda: setattr(self._state, "plan", plan))

    def drop(self, how: Cut = "rst", code: int = 1011, reason: str = "") -> int:
        """Cut all connections now; return how many.

        "rst" = TCP reset, "fin" = TCP end without close frame, "close" = WebSocket close with `code`.
        """
        if how not in {"rst", "fin", "close"}:
            raise ValueError('how must be "rst", "fin" or "close"')
        FaultPlan(Fault.CLOSE_AFTER_LOGIN, code=code)

        return self._loop.call(self._cut(how, code, reason))

    async def _cut(self, how: Cut, code: int, reason: str) -> int:
        connections = [each for each in self._state.connections if not each.has_ended]
        if how == "close":
            return sum(each.begin_close(code, reason) for each in connections)
        for connection in connections:
            if how == "rst":
                connection.reset()
            else:
                connection.finish()
        if connections:
            # The event loop closes the sockets in its next iteration; a client that does not read delays FIN.
            await asyncio.wait({each.connection_lost_waiter for each in connections}, timeout=CUT_TIMEOUT_S)
        return len(connections)

    def freeze(self) -> None:
        """Keep TCP open, but neither read nor answer, not even with pongs, on old and new connections."""
        self._loop.do(self._state.freeze)

    def thaw(self) -> None:
        """Undo `freeze` and answer what arrived meanwhile."""
        self._loop.do(self._state.thaw)

    def send(self, message: dict[str, Json] | str | bytes) -> int:
        """Push a message to the subscribed sessions (bytes = a binary frame); return how many took it."""
        payload = encode(message) if isinstance(message, dict) else message
        return self._loop.do(lambda: self._state.push(payload))

    def stop_listening(self) -> None:
        """Refuse connections; open ones stay. Raises RuntimeError if the port is shared."""
        self._loop.call(self._listener().stop())

    def start_listening(self) -> None:
        """Listen again, on the same port."""
        self._loop.call(self._listener().start())

    def _listener(self) -> Listener:
        if self._own_listener is None:
            raise RuntimeError("the port is shared: use the site's method, or one_port_each=True")
        return self._own_listener
