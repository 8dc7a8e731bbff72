"""All gateways of the server, and counters of their clients' actions. For the server's event loop only."""

from dataclasses import dataclass
from time import monotonic
from typing import Protocol


class Sender(Protocol):
    """A gateway's session, as the load generator uses it."""

    def send(self, frame: bytes) -> bool: ...
    def cut(self) -> None: ...
    @property
    def unsent_bytes(self) -> int: ...


@dataclass(slots=True)
class Counters:
    """Counts since the server's start. Times are monotonic seconds, shared by all processes of a machine."""

    connections: int = 0
    rejected_logins: int = 0
    violations: int = 0
    pings: int = 0
    handshakes: int = 0
    """Connections that are accepted and not logged in yet."""
    most_handshakes: int = 0
    first_connection_at: float | None = None
    last_subscribed_at: float | None = None


class Gateways:
    """Gateways by name, each with its current session."""

    def __init__(
        self, names: list[str], email: str, password: str, *, answers_subscription: bool, hanging: int = 0
    ) -> None:
        """The first `hanging` of them accept connections and never answer."""
        self.names = frozenset(names)
        self.hanging = frozenset(names[:hanging])
        self.email = email
        self.password = password
        self.answers_subscription = answers_subscription
        self.counters = Counters()
        self.subscribed: dict[str, Sender] = {}
        """The open session of each gateway that has one."""
        self._back: list[tuple[str, float]] = []

    def began(self) -> None:
        """Record that a connection was accepted."""
        counters = self.counters
        counters.connections += 1
        counters.handshakes += 1
        counters.most_handshakes = max(counters.most_handshakes, counters.handshakes)
        if counters.first_connection_at is None:
            counters.first_connection_at = monotonic()

    def logged_in(self) -> None:
        """Record that a client's login was accepted."""
        self.counters.handshakes -= 1

    def subscribe(self, name: str, session: Sender) -> None:
        """Record a gateway's subscription. A second one at the same time counts as a violation."""
        if name in self.subscribed:
            self.counters.violations += 1
        now = monotonic()
        self.subscribed[name] = session
        self.counters.last_subscribed_at = now
        self._back.append((name, now))

    def ended(self, name: str | None, session: Sender, *, was_logged_in: bool) -> None:
        """Record that a connection ended."""
        if not was_logged_in:
            self.counters.handshakes -= 1
        elif name is not None and self.subscribed.get(name) is session:
            del self.subscribed[name]

    def take_back(self) -> list[tuple[str, float]]:
        """Return which gateways were subscribed to since the last call, and when; the last 20,000 at most."""
        back, self._back = self._back[-20_000:], []
        return back
