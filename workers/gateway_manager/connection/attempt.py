"""What the end of an attempt means for the next one. Pure."""

from dataclasses import dataclass, field, replace
from enum import Enum

from workers.gateway_manager.connection.backoff import (
    AttemptHistory,
    BackoffPolicy,
    after_failure,
    after_rejection,
)


class Ending(Enum):
    """How an attempt, or the session that came of it, ended."""

    FAILED = "the gateway, the network or the worker's system failed"
    REJECTED = "the gateway rejected the login, or revoked it"
    ABANDONED = "it hung, and an early retry replaces it"
    CRASHED = "an unexpected error"


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """What the last attempts of a connection say about the next one."""

    history: AttemptHistory = field(default_factory=AttemptHistory)
    is_unresponsive: bool = False
    """The last attempt outlasted its slot and failed, on this worker or another: it may hang again."""
    was_stable: bool = True
    """The last session, if there was one, lasted."""


def after_attempt(
    policy: BackoffPolicy,
    record: ConnectionRecord,
    ending: Ending,
    *,
    outlasted_slot: bool,
    session_s: float | None,
) -> ConnectionRecord:
    """The record after an attempt. `session_s`: how long its session lasted; None if it did not connect."""
    if ending in (Ending.ABANDONED, Ending.CRASHED):
        return replace(record, history=after_failure(policy, record.history, 0))
    if session_s is None and ending is Ending.REJECTED:
        return replace(record, history=after_rejection(record.history))
    # A gateway that revokes a login may need the session for another client: the credentials had worked.
    return ConnectionRecord(
        after_failure(policy, record.history, session_s or 0.0),
        is_unresponsive=session_s is None and outlasted_slot,
        was_stable=record.was_stable if session_s is None else session_s >= policy.good_after_s,
    )
