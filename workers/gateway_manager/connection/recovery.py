"""Gateways that share a fate: when one of them is back, the others are tried soon. Pure.

A site that was away for long has gateways that wait for up to BACKOFF_MAX_S. Each that comes back calls a
few others, paced, and each of those calls more if it is back as well. One that is not back yet when it is
tried is called again REPEAT_AFTER_S later, behind the others. So a site is back within seconds, also if its
gateways start one after the other, while one gateway that comes back alone costs FIRST_CALLS + CALLS_EACH
attempts. Nobody is tried later than its back-off says.
"""

from collections import Counter
from math import inf
from uuid import UUID

from service.gateway_states import ReasonCode

FIRST_CALLS = 16
"""So many are called when a return begins."""
CALLS_EACH = 4
"""So many more are called for each that is back."""
SPREAD_S = 7.0
"""The calls of a whole group take about as long."""
LONGEST_GAP_S = 0.05
MOST_CALLS_A_MEMBER = 8
"""In one return."""
REPEAT_AFTER_S = 3.0
QUIET_S = 60.0
"""When nobody has come back for so long, the next who does begins another return."""
WITNESSES = 3
TOGETHER_S = 10.0
"""So many have to be back within this time if their last sessions were short: one that flaps is no return."""

Member = UUID
Call = tuple[Member, float]
"""Who is to be tried, and when (monotonic seconds)."""


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
"""What a site without power, network or name server looks like. Other reasons are a gateway's own."""


def groups_of(host: str, factory_id: UUID, code: ReasonCode) -> list[str]:
    """Whose fate a gateway shares: those at the same host, and those of its factory that fail as it does."""
    return [f"host {host}", f"factory {factory_id} {code}"] if code in SHARED_REASONS else []


class RecoveryGroup:
    """Members that cannot be reached now, some of them called in a return. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.returns = 0
        """How many there were."""
        self._waiting: dict[Member, float] = {}
        """With the time of the next attempt: infinite while it is queued, the past while it is under way."""
        self._uncalled: dict[Member, float] = {}
        """Who is to be called in this return, in that order, and when at the soonest."""
        self._credit = 0
        """So many calls may still be made in this return."""
        self._called: Counter[Member] = Counter()
        """How often in this return."""
        self._back: set[Member] = set()
        """Who came back in this return, and has called others."""
        self._lost: set[Member] = set()
        """Of those, who is away again."""
        self._unsteady: dict[Member, float] = {}
        """Who came back lately but may be gone again soon, and when."""
        self._last_back_at = -inf
        self._next_call_at = -inf

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing to remember."""
        return not self._waiting and not self.is_returning(now)

    def is_returning(self, now: float) -> bool:
        """Whether a return is under way."""
        return now - self._last_back_at <= QUIET_S

    def failed(self, member: Member, retry_at: float, now: float) -> float:
        """An attempt failed, or a session ended. When to try again: `retry_at`, or sooner in a return."""
        # A call while the attempt was under way still stands.
        is_called = self._waiting.get(member, -inf) > -inf
        self._waiting[member] = retry_at
        if member in self._back:
            self._lost.add(member)
            if len(self._back) >= WITNESSES and 2 * len(self._lost) > len(self._back):
                self._last_back_at = -inf  # all is away again: what comes now is another return
        calls = self._called[member]
        if self.is_returning(now) and not is_called and calls < MOST_CALLS_A_MEMBER:
            self._uncalled[member] = now + REPEAT_AFTER_S if calls else now
            self._call_some(now)
        return self._waiting[member]

    def queued(self, member: Member, now: float) -> list[Call]:
        """It waits for its turn, for who knows how long. When it is to be tried, in a return."""
        if member not in self._waiting:
            return []
        self._waiting[member] = inf
        if not self.is_returning(now) or member in self._called:
            return []
        self._uncalled[member] = now
        return self._call_some(now)

    def attempting(self, member: Member) -> None:
        """An attempt begins. If it hangs, a call may end it."""
        if member in self._waiting:
            self._waiting[member] = -inf

    def forget(self, member: Member) -> None:
        """It is gone, or waits for another reason."""
        self._waiting.pop(member, None)
        self._uncalled.pop(member, None)

    def recovered(self, member: Member, now: float, *, is_steady: bool) -> list[Call]:
        """It can be reached again. `is_steady`: its last session, if it had any, did not end soon.

        Who is to be tried sooner therefore.
        """
        if member not in self._waiting:
            return []
        self.forget(member)
        if not self.is_returning(now):
            if not is_steady and not self._is_witnessed(member, now):
                return []
            self._begin(now)
        self._lost.discard(member)
        if member in self._back:
            return []
        self._back.add(member)
        self._last_back_at = now
        self._credit += CALLS_EACH
        return self._call_some(now)

    def returned_elsewhere(self, now: float) -> list[Call]:
        """Another worker says that a return began. Who is to be tried sooner therefore."""
        if self.is_returning(now):
            return []
        self._begin(now)
        self._last_back_at = now
        return self._call_some(now)

    def called_elsewhere(self, member: Member, at: float) -> None:
        """Another group of the member has called it: here it needs no call, and all share one pace."""
        if self._waiting.get(member, -inf) > at:
            self._waiting[member] = at
        self._uncalled.pop(member, None)
        self._called[member] += 1
        self._next_call_at = max(self._next_call_at, at)

    def _is_witnessed(self, member: Member, now: float) -> bool:
        self._unsteady = {one: at for one, at in self._unsteady.items() if now - at <= TOGETHER_S}
        self._unsteady[member] = now
        return len(self._unsteady) >= WITNESSES

    def _begin(self, now: float) -> None:
        self.returns += 1
        self._credit = FIRST_CALLS
        for each in (self._called, self._back, self._lost, self._unsteady):
            each.clear()
        self._next_call_at = max(self._next_call_at, now)
        # Those first who would wait longest.
        by_wait = sorted(self._waiting, key=lambda member: -self._waiting[member])
        self._uncalled = dict.fromkeys(by_wait, now)

    def _call_some(self, now: float) -> list[Call]:
        calls = []
        while self._credit and self._uncalled:
            member = next(iter(self._uncalled))
            at = max(now, self._next_call_at, self._uncalled.pop(member))
            at += min(LONGEST_GAP_S, SPREAD_S / len(self._waiting))
            # Some come sooner by themselves. What is under way may have begun before the return, and hang.
            if at < self._waiting[member] or self._waiting[member] == -inf:
                self._waiting[member] = self._next_call_at = at
                self._called[member] += 1
                self._credit -= 1
                calls.append((member, at))
        return calls
