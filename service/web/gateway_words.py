"""What is true of one gateway, as a sentence: never more than its status says."""

from dataclasses import dataclass
from datetime import datetime

from service.api.schemas.gateway_status import StatusResponse

_DOING = {
    "connecting": "is not connected: an attempt is being made",
    "authenticating": "is not connected: its login is not answered yet",
    "auth_failed": "is not connected: it refuses the login",
}
TEST_STEPS = {
    "resolve": "look up the host name",
    "connect": "connect",
    "tls": "set up TLS",
    "upgrade": "open the WebSocket",
    "login": "log in",
    "subscribe": "subscribe",
}


@dataclass(frozen=True, slots=True)
class Account:
    """A claim, since when it is true where that is known, and what was asked and is not done yet."""

    claim: str
    since: datetime | None
    asked: str | None


def account_of(name: str, status: StatusResponse, live_workers: int) -> Account:
    """Of the gateway with this name."""
    if status.state == "unknown":
        claim = f"Whether {name} is connected is not known"
        if not live_workers:
            claim = f"No worker is running, so nobody knows whether {name} is connected"
        return Account(claim, status.state_since, _asked(status))
    if status.state == "connected":
        return Account(f"{name} is connected", status.connected_since, _asked(status))
    if status.state == "disconnecting":
        return Account(f"{name} is being disconnected", status.state_since, _asked(status))
    if status.state == status.desired_state:
        return Account(f"{name} is off, as it should be", status.state_since, None)
    claim = f"{name} {_DOING.get(status.state, 'is not connected')}"
    if status.last_connected_at is None:
        claim = f"{claim}, and it never was connected"
    return Account(claim, status.last_disconnected_at, _asked(status))


def _asked(status: StatusResponse) -> str | None:
    """A command is done when a worker has seen its generation; to be off takes none if it is off."""
    is_wanted = status.desired_state == "connected"
    if is_wanted and (status.observed_generation or 0) >= status.generation:
        return None
    if not is_wanted and status.state == "disconnected":
        return None
    who = "no worker has" if status.worker is None else "its worker has not"
    return f"asked to {'connect' if is_wanted else 'disconnect'}; {who} taken that up yet"
