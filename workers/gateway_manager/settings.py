"""Deadlines and bounds of the manager's parts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """How long the lease lasts, and how often it is renewed."""

    duration_s: float
    heartbeat_s: float
    margin_s: float
    """Sockets are closed this long before the database may end the lease."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Deadlines and bounds of one gateway's session."""

    tcp_timeout_s: float
    upgrade_timeout_s: float
    login_timeout_s: float
    close_timeout_s: float
    subscribe_grace_s: float
    ping_interval_s: float
    liveness_timeout_s: float
    max_message_bytes: int
    max_messages_per_s: int
    """Counts frames: a fragmented message counts once per fragment."""
    max_bytes_per_s: int
