"""Where a stored password may go with another url: one rule for whatever moves a password. Pure."""

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from service.api.web.validation_errors import detail
from service.config import Network
from service.errors import InvalidRequestError
from service.network.websocket_url import host_and_port


class PasswordMove(Enum):
    """What becomes of a stored password with another url."""

    SAME_TARGET = "host and port are the same, and TLS is not dropped: nothing changes"
    FREE = "it goes along"
    CONFINED = "it goes along; the worker sends it only to addresses within GATEWAY_NETWORKS_ALLOWED"
    WITHOUT_TLS = "refused: a password given for wss would go out in the clear"
    ELSEWHERE = "refused: a token is no proof of knowing the password"


_REFUSALS = {
    PasswordMove.WITHOUT_TLS: (
        "The stored password was set for wss:// and is never sent without TLS."
        " Include the password with the url, or keep wss://."
    ),
    PasswordMove.ELSEWHERE: (
        "The stored password is never sent to another host or port."
        " Include the password with the url, or add the new address to GATEWAY_NETWORKS_ALLOWED."
    ),
}


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Decides whether a stored password may go to another url.

    Otherwise anyone who can write could have it sent to a machine of their own.
    """

    serves_only_this_machine: bool
    """Whether no tokens are required, since only this machine's owner can reach the API."""
    allowed: tuple[Network, ...]
    """GATEWAY_NETWORKS_ALLOWED."""

    def judge(self, stored_url: str, url: str) -> PasswordMove:
        """`url` is in normal form; `stored_url` is where the password goes now."""
        stored, asked = urlsplit(stored_url), urlsplit(url)
        if stored.scheme == "wss" and asked.scheme != "wss":
            return PasswordMove.WITHOUT_TLS
        if _target(stored_url) == _target(url):
            return PasswordMove.SAME_TARGET
        if self.serves_only_this_machine:
            return PasswordMove.FREE
        return PasswordMove.CONFINED if self._may_be_allowed(asked.hostname or "") else PasswordMove.ELSEWHERE

    def _may_be_allowed(self, host: str) -> bool:
        """Whether the host is within the networks, or a name: what that stands for, the worker finds out."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return bool(self.allowed)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(face in network for face in (address, mapped) if face for network in self.allowed)


def confinement_after(move: PasswordMove) -> bool | None:
    """Whether the password is confined from now on; None: as it was. Raises InvalidRequestError."""
    if move in _REFUSALS:
        raise password_required(move)
    return None if move is PasswordMove.SAME_TARGET else move is PasswordMove.CONFINED


def password_required(move: PasswordMove) -> InvalidRequestError:
    """The refusal of such a move. Its message names both ways out."""
    details = [detail("password", "is required with this url", "missing")]
    return InvalidRequestError("PASSWORD_REQUIRED", _REFUSALS[move], details)


def _target(url: str) -> tuple[str, int]:
    host, port = host_and_port(url)
    # Rows of older versions may have an address in another of its forms.
    with suppress(ValueError):
        host = str(ip_address(host))
    return host, port
