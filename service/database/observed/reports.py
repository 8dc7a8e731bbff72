"""What workers report of their connections, field by field as the statements take it.

Times are ages, since the clocks of workers and database differ. Tests hold the fields against the statements.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from psycopg.types.json import Jsonb


# Without slots: `vars` is the fastest way to the fields of thousands.
@dataclass(frozen=True, kw_only=True)
class ContactReport:
    """What changes while a connection stays as it is."""

    gateway_id: UUID
    last_seen_age_s: float | None = None
    last_message_age_s: float | None = None
    messages_received: int = 0


@dataclass(frozen=True, kw_only=True)
class ConnectionReport(ContactReport):
    """A connection as it is."""

    is_over: bool = False
    """The worker gives it up."""
    state: str
    state_age_s: float = 0.0
    reason_code: str | None = None
    reason_message: str | None = None
    reason_phase: str | None = None
    reason_retryable: bool | None = None
    reason_age_s: float | None = None
    attempt: int = 0
    next_attempt_in_s: float | None = None
    generation: int | None = None
    connected_age_s: float | None = None
    last_connected_age_s: float | None = None
    last_disconnected_age_s: float | None = None
    connects: int = 0
    rejected_logins: int = 0
    last_rejected_age_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TransitionReport:
    """A step from one state to another."""

    gateway_id: UUID
    age_s: float = 0.0
    from_state: str
    to_state: str
    reason_code: str | None = None
    reason_message: str | None = None
    reason_phase: str | None = None
    attempt: int = 0
    generation: int | None = None


def recordset(reports: Sequence[ContactReport | TransitionReport]) -> Jsonb:
    """For jsonb_to_recordset."""
    return Jsonb([vars(report) for report in reports], dumps=partial(json.dumps, default=str))
