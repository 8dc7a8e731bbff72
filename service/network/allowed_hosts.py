"""Which hosts a server answers for where it asks for no token. Pure; for the API and the workers' metrics.

DNS rebinding: the owner of a page points its name at this machine, and the browser lets the page read our
answers as its own. Only the Host header still carries the foreign name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_HOST = re.compile(r"(?:(?P<name>[a-zA-Z0-9._-]+)|\[(?P<address>[0-9a-fA-F:.]+)\])(?::[0-9]{0,5})?")

Ip = IPv4Address | IPv6Address


def host_in(header: str) -> str | Ip | None:
    """The host that a Host header names, in one form however it is written; None if it names none."""
    match = _HOST.fullmatch(header)
    return None if match is None else _normal(match["name"] or match["address"])


@dataclass(frozen=True, slots=True)
class OwnHosts:
    """The names and addresses that a server answers for. Any loopback address is one of them."""

    hosts: frozenset[str | Ip]
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, listens_on: str, allowed: Iterable[str] = ()) -> "OwnHosts":
        """Where the server listens, and names, addresses and networks beside that.

        Raises ValueError for what is none of these.
        """
        words = list(allowed)
        networks = tuple(ip_network(word) for word in words if "/" in word)
        names = [_checked(word) for word in words if "/" not in word]
        return cls(frozenset({"localhost", _normal(listens_on), *names}), networks)

    def include(self, header: str) -> bool:
        """Whether a Host header names one of them."""
        host = host_in(header)
        if host is None or isinstance(host, str):
            return host in self.hosts
        return host.is_loopback or host in self.hosts or any(host in network for network in self.networks)


def _checked(word: str) -> str | Ip:
    host = _normal(word.removeprefix("[").removesuffix("]"))
    if isinstance(host, str) and host_in(word) != host:
        raise ValueError(f"{word} is neither a name nor an address nor a network")
    return host


def _normal(host: str) -> str | Ip:
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".")
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
