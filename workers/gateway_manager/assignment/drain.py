"""Which sessions a worker that is told to stop ends next: so that none is away for long. Pure."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from uuid import UUID

LEAST_AT_ONCE = 25
GAP_S = 1.0
PATIENCE_S = 5.0


class DrainWindow:
    """Gateways that were let go, and that no other worker has taken up yet. Times are monotonic seconds.

    No more of them at once than the others took up within the last `GAP_S`: so that each waits about that
    long, whether the others are fast or slow.
    """

    def __init__(self, now: float) -> None:
        self._let_go_at: dict[UUID, float] = {}
        self._taken_up: deque[float] = deque()
        """When each of the last ones was taken up."""
        self._last_taken_at = now

    @property
    def waiting(self) -> list[UUID]:
        """Gateways that were let go, and not taken up."""
        return list(self._let_go_at)

    def take_up(self, gateway_ids: Iterable[UUID], now: float) -> None:
        """Other workers have these now."""
        for gateway_id in gateway_ids:
            if self._let_go_at.pop(gateway_id, None) is not None:
                self._taken_up.append(now)
                self._last_taken_at = now

    def let_go(self, connected: Iterable[UUID], now: float) -> list[UUID]:
        """Which of these to end now: none while the others take nothing up.

        One that is not taken up for long (it was deleted, it does not answer) keeps no place for ever.
        """
        if self._let_go_at and now - self._last_taken_at > PATIENCE_S:
            return []
        for gateway_id, let_go_at in list(self._let_go_at.items()):
            if now - let_go_at > PATIENCE_S:
                del self._let_go_at[gateway_id]
        while self._taken_up and now - self._taken_up[0] > GAP_S:
            self._taken_up.popleft()
        most = max(LEAST_AT_ONCE, len(self._taken_up))
        following = list(islice(connected, max(0, most - len(self._let_go_at))))
        self._let_go_at.update(dict.fromkeys(following, now))
        return following
