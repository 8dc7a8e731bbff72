"""Which addresses gateways may have. Pure: addresses in, a verdict out.

Whoever may register a gateway may name any host; without this, also one that only our machine reaches. The
address that is really connected to is what counts, on every attempt: a name may mean another one tomorrow.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Ip = IPv4Address | IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# No gateway of a plant has one of these. Link-local ones (RFC 3927, RFC 4291) include the metadata services
# of most clouds; then come those of Alibaba, Azure, Oracle, AWS, Google and Scaleway that are elsewhere; then
# what is no host's address at all, of which 0.0.0.0 and :: would lead to this machine.
DENIED_BY_DEFAULT: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
        "fd00:42::42/128",
        "0.0.0.0/8",
        "::/128",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "ff00::/8",
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, 2.5.5.1
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214, 6.1
_LAST_32_BITS = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What an operator says; by default everything but `DENIED_BY_DEFAULT` is allowed."""

    allowed: tuple[Network, ...] = ()
    """If there is any, all else is denied. One that lies within a default denial lifts that for itself."""
    denied: tuple[Network, ...] = ()
    """Goes before everything else."""

    def allows(self, address: str) -> bool:
        """Whether a gateway may have this address, as getaddrinfo writes it."""
        ip = _plain(ipaddress.ip_address(address.partition("%")[0]))
        faces = list(_faces(ip))
        if any(face in network for face in faces for network in self.denied):
            return False
        if any(self._is_denied_by_default(face) for face in faces):
            return False
        return not self.allowed or any(
            face in network for face in (ip, _behind_nat64(ip)) if face for network in self.allowed
        )

    def _is_denied_by_default(self, ip: Ip) -> bool:
        for default in DENIED_BY_DEFAULT:
            if ip in default:
                return not any(ip in network and _is_within(network, default) for network in self.allowed)
        return False


def _plain(ip: Ip) -> Ip:
    """An IPv4 address that is written as an IPv6 one: the system connects to the former."""
    return (ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip


def _faces(ip: Ip) -> Iterator[Ip]:
    """The address, and every IPv4 address that the network may take it for."""
    yield ip
    if not isinstance(ip, IPv6Address):
        return
    if ip in _NAT64 or ip in _LOCAL_NAT64 or (ip in _V4_COMPATIBLE and int(ip) > 1):
        yield IPv4Address(int(ip) & _LAST_32_BITS)
    if ip in _LOCAL_NAT64:
        # RFC 6052, 2.2, with a prefix of 48 bits: 16 bits, 8 of zeros, 16 bits.
        yield IPv4Address((int(ip) >> 64 & 0xFFFF) << 16 | int(ip) >> 40 & 0xFFFF)
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo
    if int(ip) >> 32 & _LAST_32_BITS in _ISATAP:
        yield IPv4Address(int(ip) & _LAST_32_BITS)


def _behind_nat64(ip: Ip) -> Ip | None:
    """The IPv4 host that an address of the well-known prefix stands for."""
    return IPv4Address(int(ip) & _LAST_32_BITS) if isinstance(ip, IPv6Address) and ip in _NAT64 else None


def _is_within(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and (inner.network_address in outer)
    )
