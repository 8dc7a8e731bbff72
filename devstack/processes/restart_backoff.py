"""When a child that died is started again. Pure: times come in as arguments, in seconds of one clock."""

from dataclasses import dataclass

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
GOOD_RUN_S = 60.0


@dataclass(frozen=True)
class RestartPlan:
    """How long to wait before a child's next start: 1 s, doubling to 30 s, back to 1 s after a good run."""

    delay_s: float = 0.0

    def after_death(self, ran_for_s: float) -> "RestartPlan":
        """The plan after the child died, having run for so long."""
        if self.delay_s == 0.0 or ran_for_s >= GOOD_RUN_S:
            return RestartPlan(FIRST_DELAY_S)
        return RestartPlan(min(self.delay_s * 2, LONGEST_DELAY_S))


def stop_limits(wanted_s: list[float], total_s: float, least_s: float) -> list[float]:
    """Share out the time of an orderly stop to children that are stopped one after another.

    Each gets what it wants as far as `least_s` stays for each one behind it. The limits are for the worst
    case, in which each child uses its own up.
    """
    limits = []
    left_s = total_s
    for position, wanted in enumerate(wanted_s):
        behind = len(wanted_s) - position - 1
        limit_s = max(least_s, min(wanted, left_s - behind * least_s))
        limits.append(limit_s)
        left_s -= limit_s
    return limits
