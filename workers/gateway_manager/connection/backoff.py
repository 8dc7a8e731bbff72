"""The backoff before the next attempt. Pure: no clock, no waiting; values in, values out."""

from dataclasses import dataclass

_FIRST_QUARANTINE_S = 60.0
_LARGEST_EXPONENT = 30  # 2 ** 30 is beyond any maximum; a larger one would only grow the number


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """How long to wait before the next attempt."""

    initial_s: float
    maximum_s: float
    good_after_s: float
    """A session that lasted this long resets the count."""
    login_tries: int
    login_retry_s: float
    login_quarantine_s: float
    """The longest wait for credentials that stay rejected."""


@dataclass(frozen=True, slots=True)
class AttemptHistory:
    """Consecutive failures, and consecutive rejected logins."""

    failures: int = 0
    rejections: int = 0


def after_failure(policy: BackoffPolicy, history: AttemptHistory, connected_for_s: float) -> AttemptHistory:
    """The history after a failed attempt, or after a session that lasted this long."""
    if connected_for_s >= policy.good_after_s:
        return AttemptHistory(failures=1)
    rejections = 0 if connected_for_s > 0 else history.rejections
    return AttemptHistory(failures=history.failures + 1, rejections=rejections)


def after_rejection(history: AttemptHistory) -> AttemptHistory:
    """The history after a rejected login."""
    return AttemptHistory(failures=history.failures + 1, rejections=history.rejections + 1)


def is_quarantined(policy: BackoffPolicy, history: AttemptHistory) -> bool:
    """Whether the credentials were rejected so often that they are tried only rarely."""
    return history.rejections >= policy.login_tries


def delay_s(policy: BackoffPolicy, history: AttemptHistory, random_fraction: float) -> float:
    """Seconds until the next attempt. `random_fraction` is a random number in [0, 1): full jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    if is_quarantined(policy, history):
        # The credentials may be right: a gateway without a free session rejects a login, too.
        pauses = history.rejections - policy.login_tries
        return min(policy.login_quarantine_s, _doubled(_FIRST_QUARANTINE_S, pauses))
    ceiling_s = min(policy.maximum_s, _doubled(policy.initial_s, history.failures - 1))
    jittered_s = ceiling_s * random_fraction
    return max(jittered_s, policy.login_retry_s) if history.rejections else jittered_s


def _doubled(seconds: float, times: int) -> float:
    return seconds * 2.0 ** min(max(times, 0), _LARGEST_EXPONENT)
