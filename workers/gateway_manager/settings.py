"""Deadlines and bounds, as the manager's parts are told them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """The right to hold gateways: how long it lasts, how often it is renewed."""

    duration_s: float
    heartbeat_s: float
    margin_s: float
    """Sockets are closed this long before the lease can end in the database's eyes."""


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
    """Frames count: a message in pieces counts as many times as it has pieces."""
    max_bytes_per_s: int
