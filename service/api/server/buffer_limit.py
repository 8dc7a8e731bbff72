"""What a process holds for its clients, of heads, bodies and responses: bounded, whatever they do."""

from typing import Protocol


class Client(Protocol):
    """A connection that bytes are held for."""

    is_waiting: bool
    """Whether it waits for its client, rather than that for an answer."""

    def hang_up(self) -> None:
        """Ends it, also for a greenlet that waits in it."""


class HeldBytes:
    """Where there are more than `limit`, whoever has them for the longest and waits for its client hangs up.

    So slow clients make room for quick ones. A request that is being answered is never cut off: what it asks
    for may be done already.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Client, int] = {}
        self.total = 0

    def hold(self, client: Client, size: int) -> None:
        """As many more for a client, until they are released."""
        self._held[client] = self._held.get(client, 0) + size
        self.total += size
        if self.total > self._limit:
            self._make_room()

    def drop(self, client: Client, size: int) -> None:
        """As many less for a client."""
        if client in self._held:
            self._held[client] -= size
            self.total -= size

    def release(self, client: Client) -> None:
        """All that is held for a client."""
        self.total -= self._held.pop(client, 0)

    def _make_room(self) -> None:
        excess, leaving = self.total - self._limit, []
        for client, size in self._held.items():
            if excess <= 0:
                break
            if client.is_waiting:
                leaving.append(client)
                excess -= size
        for client in leaving:
            self.release(client)
            client.hang_up()
