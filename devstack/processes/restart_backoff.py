"""Decides when a dead child is restarted. Pure: times are arguments, in seconds of one clock."""

from dataclasses import dataclass

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
GOOD_RUN_S = 60.0


@dataclass(frozen=True)
class RestartBackoff:
    """The delay before the next restart: 1 s, doubling to 30 s, back to 1 s after a good run."""

    delay_s: float = 0.0

    def next(self, ran_for_s: float) -> "RestartBackoff":
        """Return the backoff after the child died, having run for `ran_for_s`."""
        if self.delay_s == 0.0 or ran_for_s >= GOOD_RUN_S:
            return RestartBackoff(FIRST_DELAY_S)
        return RestartBackoff(min(self.delay_s * 2, LONGEST_DELAY_S))


def allocate_stop_timeouts(wanted_s: list[float], total_s: float, least_s: float) -> list[float]:
    """Divide the time of an orderly stop among children that are stopped one after another.

    Each gets what it wants, as long as `least_s` remains for each child after it. The timeouts are for the
    worst case, in which every child uses its own up.
    """
    limits = []
    left_s = total_s
    for position, wanted in enumerate(wanted_s):
        following = len(wanted_s) - position - 1
        limit_s = max(least_s, min(wanted, left_s - following * least_s))
        limits.append(limit_s)
        left_s -= limit_s
    return limits
