"""When to try again. Pure: no clock, no waiting; values in, values out."""

from dataclasses import dataclass

_FIRST_QUARANTINE_S = 60.0
_LARGEST_EXPONENT = 30  # 2 ** 30 is beyond any maximum; a larger one would only grow the number


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """How long to wait before the next attempt."""

    initial_s: float
    maximum_s: float
    good_after_s: float
    """A session that lasted this long starts the count anew."""
    login_tries: int
    login_retry_s: float
    login_quarantine_s: float
    """The longest pause of credentials that stay rejected."""


@dataclass(frozen=True, slots=True)
class Record:
    """What happened so far: failures in a row, and rejected logins in a row."""

    failures: int = 0
    rejections: int = 0


def after_failure(policy: BackoffPolicy, record: Record, connected_for_s: float) -> Record:
    """The record after a failed attempt, or after a session that ended having lasted this long."""
    if connected_for_s >= policy.good_after_s:
        return Record(failures=1)
    rejections = 0 if connected_for_s > 0 else record.rejections
    return Record(failures=record.failures + 1, rejections=rejections)


def after_rejection(record: Record) -> Record:
    """The record after a login that was rejected."""
    return Record(failures=record.failures + 1, rejections=record.rejections + 1)


def is_quarantined(policy: BackoffPolicy, record: Record) -> bool:
    """Whether the credentials were rejected so often that they are tried only rarely."""
    return record.rejections >= policy.login_tries


def delay_s(policy: BackoffPolicy, record: Record, dice: float) -> float:
    """Seconds until the next attempt. `dice` is a random number in [0, 1): full jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    if is_quarantined(policy, record):
        # What is rejected need not be the credentials: a gateway whose sessions are all taken says the same.
        pauses = record.rejections - policy.login_tries
        return min(policy.login_quarantine_s, _doubled(_FIRST_QUARANTINE_S, pauses))
    ceiling_s = min(policy.maximum_s, _doubled(policy.initial_s, record.failures - 1))
    jittered_s = ceiling_s * dice
    return max(jittered_s, policy.login_retry_s) if record.rejections else jittered_s


def _doubled(seconds: float, times: int) -> float:
    return seconds * 2.0 ** min(max(times, 0), _LARGEST_EXPONENT)
