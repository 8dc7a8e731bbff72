"""Which sessions a draining worker closes next, so that no gateway is away for long. Pure."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from uuid import UUID

MIN_WINDOW = 25
ROUND_S = 1.0
ACK_TIMEOUT_S = 5.0


class DrainWindow:
    """Gateways that were released and not yet acknowledged by another worker. Times are monotonic seconds.

    At most as many at a time as the other workers acknowledged within the last `ROUND_S`: so each waits about
    that long, whether the others are fast or slow.
    """

    def __init__(self, now: float) -> None:
        self._released_at: dict[UUID, float] = {}
        self._acknowledgements: deque[float] = deque()
        """When the latest ones were acknowledged."""
        self._last_acknowledged_at = now

    @property
    def unacknowledged(self) -> list[UUID]:
        """Gateways that no other worker has acknowledged."""
        return list(self._released_at)

    def acknowledge(self, gateway_ids: Iterable[UUID], now: float) -> None:
        """Other workers have connected these."""
        for gateway_id in gateway_ids:
            if self._released_at.pop(gateway_id, None) is not None:
                self._acknowledgements.append(now)
                self._last_acknowledged_at = now

    def release(self, connected: Iterable[UUID], now: float) -> list[UUID]:
        """Chooses which of these to release now: none while the other workers acknowledge nothing.

        A gateway that is never acknowledged (deleted, or unreachable) leaves the window after a while.
        """
        if self._released_at and now - self._last_acknowledged_at > ACK_TIMEOUT_S:
            return []
        for gateway_id, released_at in list(self._released_at.items()):
            if now - released_at > ACK_TIMEOUT_S:
                del self._released_at[gateway_id]
        while self._acknowledgements and now - self._acknowledgements[0] > ROUND_S:
            self._acknowledgements.popleft()
        most = max(MIN_WINDOW, len(self._acknowledgements))
        following = list(islice(connected, max(0, most - len(self._released_at))))
        self._released_at.update(dict.fromkeys(following, now))
        return following
