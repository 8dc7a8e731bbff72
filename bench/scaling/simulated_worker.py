"""`python -m bench.scaling.simulated_worker`: a real worker with simulated connections.

Lease, watchdog, claims, quotas, polls, registry and reports are the worker's own, and so is their load on
PostgreSQL. Only the gateway connections are simulated: each has no socket, no thread and no secret, is
connected immediately and stays so. After SIGUSR1, SIMULATED_FLAPS_PER_S sessions per second are lost and
come back. So one machine can run a fleet whose connections would need twenty.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from time import monotonic
from uuid import UUID

from service.database.observed.active_gateways import SealedLogin
from service.gateway_states import Phase, Reason, ReasonCode, State
from workers import __main__ as worker
from workers.gateway_manager import manager
from workers.gateway_manager.connection.connection import ConnectionContext
from workers.gateway_manager.registry import GatewayRegistry

TICK_S = 0.5
PING_INTERVAL_S = 15.0
LOST = Reason(ReasonCode.CONNECTION_LOST, "The connection was lost.", Phase.SESSION)


class SimulatedConnections:
    """All connections of this worker, and the thread that connects and drops them."""

    def __init__(self) -> None:
        self.flaps_per_s = 0.0
        self._lock = threading.Lock()
        self._living: dict[UUID, GatewayRegistry] = {}
        self._owed = 0.0
        threading.Thread(target=self._run, name="simulated-connections", daemon=True).start()

    def add(self, gateway_id: UUID, registry: GatewayRegistry) -> None:
        """Add a connection that is now connected."""
        with self._lock:
            connect(gateway_id, registry)
            self._living[gateway_id] = registry

    def discard(self, gateway_id: UUID) -> None:
        """Remove a connection without notifying the registry."""
        with self._lock:
            self._living.pop(gateway_id, None)

    def disconnect(self, gateway_id: UUID, reason: Reason) -> None:
        """Remove a connection and report its end to the registry."""
        with self._lock:
            registry = self._living.pop(gateway_id, None)
            if registry is not None:
                registry.transition(gateway_id, State.DISCONNECTING, reason)
                registry.transition(gateway_id, State.DISCONNECTED, reason)

    def _run(self) -> None:
        forever = threading.Event()
        while not forever.wait(TICK_S):
            with self._lock:
                self._tick(list(self._living))

    def _tick(self, ids: list[UUID]) -> None:
        for gateway_id in random.sample(ids, round(len(ids) * TICK_S / PING_INTERVAL_S)):
            self._living[gateway_id].record_activity(gateway_id, message=False, at=monotonic())
        self._owed += self.flaps_per_s * TICK_S
        for gateway_id in random.sample(ids, min(len(ids), int(self._owed))):
            self._living[gateway_id].transition(gateway_id, State.RETRYING, LOST, retry_in_s=0.5)
            connect(gateway_id, self._living[gateway_id])
        self._owed %= 1


CONNECTIONS = SimulatedConnections()


def begin_to_flap() -> None:
    """Lose sessions from now on. A signal handler may call it."""
    CONNECTIONS.flaps_per_s = float(os.environ["SIMULATED_FLAPS_PER_S"])


def connect(gateway_id: UUID, registry: GatewayRegistry) -> None:
    """Make the transitions of a connection that succeeds."""
    for state in (State.CONNECTING, State.AUTHENTICATING, State.CONNECTED):
        registry.transition(gateway_id, state)


class SimulatedConnection:
    """Replaces a GatewayConnection, with the interface that the manager uses."""

    def __init__(
        self,
        login: SealedLogin,
        context: ConnectionContext,
        lease_valid: Callable[[], bool],  # noqa: ARG002
    ) -> None:
        self.id = login.id
        self.login = login
        self.is_stopping = False
        self._context = context

    def start(self) -> None:
        """Connect immediately."""
        CONNECTIONS.add(self.id, self._context.registry)

    def assign(self, login: SealedLogin) -> None:
        """Take another login: the session continues, as a simulated one has no login."""
        self.login = login

    def stop(self, reason: Reason) -> None:
        """End it in its own thread: the manager expects no report before this returns."""
        self.is_stopping = True
        threading.Thread(target=self._end, args=[reason], daemon=True).start()

    def abort(self) -> None:
        """End it without a report."""
        self.is_stopping = True
        CONNECTIONS.discard(self.id)
        threading.Thread(target=self._finish, daemon=True).start()

    def join(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Do nothing: there is no lasting thread."""
        return True

    def _end(self, reason: Reason) -> None:
        CONNECTIONS.disconnect(self.id, reason)
        self._finish()

    def _finish(self) -> None:
        self._context.registry.finish(self.id)
        self._context.on_finished(self.id)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda *_: begin_to_flap())
    setattr(manager, "GatewayConnection", SimulatedConnection)  # noqa: B010 - a stand-in of another type
    sys.exit(worker.main())
