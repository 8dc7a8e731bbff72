"""Gateways that fail together: when one of them recovers, the others are retried early. Pure.

After a long outage, a site's gateways wait for up to BACKOFF_MAX_S. Each one that recovers triggers a few
early retries of others, paced; each of those triggers more if it recovers as well. A gateway whose early
retry fails gets another one REPEAT_AFTER_S later, after the others. So a site recovers within seconds, even
if its gateways start one by one, while a single gateway that recovers alone costs INITIAL_RETRIES +
RETRIES_PER_RECOVERY attempts. No gateway is retried later than its back-off says.
"""

from collections import Counter
from math import inf
from uuid import UUID

from service.gateway_states import ReasonCode

INITIAL_RETRIES = 16
"""Early retries at the start of a recovery."""
RETRIES_PER_RECOVERY = 4
"""Further early retries for each gateway that recovers."""
SPREAD_S = 7.0
"""About how long the early retries of a whole group take."""
MAX_GAP_S = 0.05
MAX_RETRIES_PER_MEMBER = 8
"""In one recovery."""
REPEAT_AFTER_S = 3.0
RECOVERY_QUIET_S = 60.0
"""A recovery ends when no gateway has recovered for this long."""
MIN_CONFIRMATIONS = 3
CONFIRMATION_WINDOW_S = 10.0
"""Gateways whose last sessions were short need so many confirmations: one that flaps is no recovery."""

Member = UUID
EarlyRetry = tuple[Member, float]
"""A gateway to retry, and when (monotonic seconds)."""


SHARED_REASONS = frozenset(
    {
        ReasonCode.DNS_FAILED,
        ReasonCode.CONNECTION_REFUSED,
        ReasonCode.CONNECT_FAILED,
        ReasonCode.CONNECT_TIMEOUT,
        ReasonCode.UPGRADE_REJECTED,
        ReasonCode.LOGIN_TIMEOUT,
        ReasonCode.PING_TIMEOUT,
        ReasonCode.CLOSED_BY_GATEWAY,
        ReasonCode.CONNECTION_LOST,
    }
)
"""Reasons that an outage of a whole site produces. All others concern one gateway."""


def groups_of(host: str, factory_id: UUID, code: ReasonCode) -> list[str]:
    """The groups of a gateway: its host, and the gateways of its factory that fail for the same reason."""
    return [f"host {host}", f"factory {factory_id} {code}"] if code in SHARED_REASONS else []


class RecoveryGroup:
    """Members that are unreachable, some of them due for an early retry. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.recoveries = 0
        """How many recoveries there were."""
        self._waiting: dict[Member, float] = {}
        """By member, the time of the next attempt: inf while it is queued, -inf while it is in progress."""
        self._pending: dict[Member, float] = {}
        """Members to retry early in this recovery, in order, with the earliest time."""
        self._retries_left = 0
        """How many early retries this recovery may still schedule."""
        self._retries: Counter[Member] = Counter()
        """Early retries in this recovery, by member."""
        self._recovered: set[Member] = set()
        """Members that recovered in this recovery, and have triggered early retries."""
        self._failed_again: set[Member] = set()
        """Those of them that failed again."""
        self._unconfirmed: dict[Member, float] = {}
        """Members with short sessions that recovered lately, and when."""
        self._last_recovery_at = -inf
        self._next_retry_at = -inf

    def is_idle(self, now: float) -> bool:
        """Whether the group can be discarded."""
        return not self._waiting and not self.is_recovering(now)

    def is_recovering(self, now: float) -> bool:
        """Whether a recovery is in progress."""
        return now - self._last_recovery_at <= RECOVERY_QUIET_S

    def failed(self, member: Member, retry_at: float, now: float) -> float:
        """An attempt failed, or a session ended. Returns when to retry: at `retry_at` or sooner."""
        # An early retry that was scheduled during the attempt still stands.
        is_scheduled = self._waiting.get(member, -inf) > -inf
        self._waiting[member] = retry_at
        if member in self._recovered:
            self._failed_again.add(member)
            if len(self._recovered) >= MIN_CONFIRMATIONS and 2 * len(self._failed_again) > len(
                self._recovered
            ):
                self._last_recovery_at = -inf  # the site is down again: the next one is another recovery
        retries = self._retries[member]
        if self.is_recovering(now) and not is_scheduled and retries < MAX_RETRIES_PER_MEMBER:
            self._pending[member] = now + REPEAT_AFTER_S if retries else now
            self._schedule_retries(now)
        return self._waiting[member]

    def queued(self, member: Member, now: float) -> list[EarlyRetry]:
        """It waits for a slot. Returns early retries, if a recovery is in progress."""
        if member not in self._waiting:
            return []
        self._waiting[member] = inf
        if not self.is_recovering(now) or member in self._retries:
            return []
        self._pending[member] = now
        return self._schedule_retries(now)

    def attempting(self, member: Member) -> None:
        """An attempt begins. If it hangs, an early retry may end it."""
        if member in self._waiting:
            self._waiting[member] = -inf

    def forget(self, member: Member) -> None:
        """It has stopped, or waits for another reason."""
        self._waiting.pop(member, None)
        self._pending.pop(member, None)

    def recovered(self, member: Member, now: float, *, was_stable: bool) -> list[EarlyRetry]:
        """It is reachable again. Returns the early retries that follow.

        `was_stable`: its last session, if it had one, did not end soon.
        """
        if member not in self._waiting:
            return []
        self.forget(member)
        if not self.is_recovering(now):
            if not was_stable and not self._is_confirmed(member, now):
                return []
            self._begin(now)
        self._failed_again.discard(member)
        if member in self._recovered:
            return []
        self._recovered.add(member)
        self._last_recovery_at = now
        self._retries_left += RETRIES_PER_RECOVERY
        return self._schedule_retries(now)

    def recovery_started_elsewhere(self, now: float) -> list[EarlyRetry]:
        """Another worker announced a recovery. Returns the early retries that follow."""
        if self.is_recovering(now):
            return []
        self._begin(now)
        self._last_recovery_at = now
        return self._schedule_retries(now)

    def retried_elsewhere(self, member: Member, at: float) -> None:
        """Another group of the member scheduled its early retry: this group counts it, and keeps the pace."""
        if self._waiting.get(member, -inf) > at:
            self._waiting[member] = at
        self._pending.pop(member, None)
        self._retries[member] += 1
        self._next_retry_at = max(self._next_retry_at, at)

    def _is_confirmed(self, member: Member, now: float) -> bool:
        self._unconfirmed = {
            one: at for one, at in self._unconfirmed.items() if now - at <= CONFIRMATION_WINDOW_S
        }
        self._unconfirmed[member] = now
        return len(self._unconfirmed) >= MIN_CONFIRMATIONS

    def _begin(self, now: float) -> None:
        self.recoveries += 1
        self._retries_left = INITIAL_RETRIES
        for each in (self._retries, self._recovered, self._failed_again, self._unconfirmed):
            each.clear()
        self._next_retry_at = max(self._next_retry_at, now)
        # Those that would wait longest come first.
        by_wait = sorted(self._waiting, key=lambda member: -self._waiting[member])
        self._pending = dict.fromkeys(by_wait, now)

    def _schedule_retries(self, now: float) -> list[EarlyRetry]:
        retries = []
        while self._retries_left and self._pending:
            member = next(iter(self._pending))
            at = max(now, self._next_retry_at, self._pending.pop(member))
            at += min(MAX_GAP_S, SPREAD_S / len(self._waiting))
            # Some are due sooner anyway. An attempt in progress may have begun before the recovery, and hang.
            if at < self._waiting[member] or self._waiting[member] == -inf:
                self._waiting[member] = self._next_retry_at = at
                self._retries[member] += 1
                self._retries_left -= 1
                retries.append((member, at))
        return retries
