"""Which addresses gateways may have. Pure: address in, decision out.

A client that may register a gateway may name any host, even one that only this machine can reach. So the
address that is really connected to is checked on every attempt: a name may resolve differently tomorrow.
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
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, 2.5.5.1
_V4_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")  # RFC 2765, 2.1
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")  # RFC 1122, 3.2.1.3
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214, 6.1
_LAST_32_BITS = 0xFFFF_FFFF

NAT64_PREFIX_LENGTHS = (32, 40, 48, 56, 64, 96)
"""The lengths that RFC 6052 knows."""


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """The operator's settings; by default everything but `DENIED_BY_DEFAULT` is allowed."""

    allowed: tuple[Network, ...] = ()
    """If there are any, all others are denied. One within a default denial overrides it."""
    denied: tuple[Network, ...] = ()
    """Takes precedence over everything else."""
    nat64_prefixes: tuple[ipaddress.IPv6Network, ...] = ()
    """The plant's own, each of one of `NAT64_PREFIX_LENGTHS`: they cannot be recognized otherwise."""

    def allows(self, address: str) -> bool:
        """Whether a gateway may have this address, as getaddrinfo writes it."""
        ip = _unmap(ipaddress.ip_address(address.partition("%")[0]))
        targets = [ip, *self._translated(ip)]
        possible = [*targets, *_embedded_addresses(ip)]
        if ip in _LOCAL_NAT64 and len(targets) == 1:
            possible += _nat64_targets(ip)
        if any(each in network for each in possible for network in self.denied):
            return False
        if any(self._is_denied_by_default(each) for each in possible):
            return False
        return not self.allowed or any(each in network for each in targets for network in self.allowed)

    def _translated(self, ip: Ip) -> Iterator[Ip]:
        """The IPv4 host that a translator sends this address's packets to, if there is one on the way."""
        if not isinstance(ip, IPv6Address):
            return
        for prefix in (_V4_TRANSLATED, _NAT64, *self.nat64_prefixes):
            if ip in prefix:
                yield _nat64_target(ip, prefix.prefixlen)

    def _is_denied_by_default(self, ip: Ip) -> bool:
        for default in DENIED_BY_DEFAULT:
            if ip in default:
                return not any(ip in network and _is_within(network, default) for network in self.allowed)
        return False


def _unmap(ip: Ip) -> Ip:
    """An IPv4 address that is written as an IPv6 one: the system connects to the former."""
    return (ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip


def _embedded_addresses(ip: Ip) -> Iterator[Ip]:
    """Every IPv4 address that a network may take this one for: enough to deny it, too little to allow it."""
    if not isinstance(ip, IPv6Address):
        return
    if ip in _V4_COMPATIBLE and int(ip) > 1:
        yield IPv4Address(int(ip))
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo
    if int(ip) >> 32 & _LAST_32_BITS in _ISATAP:
        yield IPv4Address(int(ip) & _LAST_32_BITS)


def _nat64_targets(ip: Ip) -> Iterator[Ip]:
    """For an address of `_LOCAL_NAT64`: a prefix of any of these lengths may have been cut out of that."""
    for length in NAT64_PREFIX_LENGTHS:
        if length >= _LOCAL_NAT64.prefixlen:
            target = _nat64_target(IPv6Address(ip), length)
            # The zeros in front of an address with a longer prefix: no host's.
            if target not in _THIS_NETWORK:
                yield target


def _nat64_target(ip: IPv6Address, prefix_length: int) -> IPv4Address:
    """The address after a NAT64 prefix: RFC 6052, section 2.2. Bits 64 to 71 are no part of it."""
    octets = ip.packed[:8] + ip.packed[9:] if prefix_length < 96 else ip.packed
    start = prefix_length // 8
    return IPv4Address(octets[start : start + 4])


def unmap_network(network: Network) -> Network:
    """The IPv4 network that is written as an IPv6 one, or the network itself."""
    inner = _unmap(network.network_address)
    if inner.version == network.version:
        return network
    return ipaddress.ip_network((inner, network.prefixlen - 96))


def _is_within(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and (inner.network_address in outer)
    )
