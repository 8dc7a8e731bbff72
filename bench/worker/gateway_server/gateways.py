"""All gateways of the server, and what their clients did. For the server's event loop only."""

from dataclasses import dataclass
from time import monotonic
from typing import Protocol


class Sender(Protocol):
    """A gateway's session, for those who push to it."""

    def send(self, frame: bytes) -> bool: ...
    def cut(self) -> None: ...
    @property
    def unsent_bytes(self) -> int: ...


@dataclass(slots=True)
class Counters:
    """Since the server started. Times are monotonic seconds, which all processes of a machine share."""

    connections: int = 0
    rejected_logins: int = 0
    violations: int = 0
    pings: int = 0
    handshakes: int = 0
    """Under way now: accepted, and not logged in yet."""
    most_handshakes: int = 0
    first_connection_at: float | None = None
    last_subscribed_at: float | None = None


class Gateways:
    """Gateways by name, each with the session that it has now."""

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
        """The live session of each gateway that has one."""
        self._back: list[tuple[str, float]] = []

    def began(self) -> None:
        """A connection was accepted."""
        counters = self.counters
        counters.connections += 1
        counters.handshakes += 1
        counters.most_handshakes = max(counters.most_handshakes, counters.handshakes)
        if counters.first_connection_at is None:
            counters.first_connection_at = monotonic()

    def logged_in(self) -> None:
        """A client's login was accepted."""
        self.counters.handshakes -= 1

    def subscribe(self, name: str, session: Sender) -> None:
        """A gateway's client has logged in and subscribed. A second one beside it is a violation."""
        if name in self.subscribed:
            self.counters.violations += 1
        now = monotonic()
        self.subscribed[name] = session
        self.counters.last_subscribed_at = now
        self._back.append((name, now))

    def ended(self, name: str | None, session: Sender, *, was_logged_in: bool) -> None:
        """A connection is gone."""
        if not was_logged_in:
            self.counters.handshakes -= 1
        elif name is not None and self.subscribed.get(name) is session:
            del self.subscribed[name]

    def take_back(self) -> list[tuple[str, float]]:
        """Which gateways subscribed since this was asked last, and when; the last 20,000 at most."""
        back, self._back = self._back[-20_000:], []
        return back
