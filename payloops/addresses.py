"""Which network addresses a webhook may not be sent to. Pure.

A merchant names the receiver, and we connect to it from inside our own network: an address that only we can reach must
not be reachable through us (server-side request forgery). Whoever connects asks about the very address that it connects
to, each time: a name may resolve to another one at any moment.

The networks are those of the special-purpose registries of IANA (RFC 6890 and its updates). ``ipaddress`` alone is not
enough: its ``is_global`` lets NAT64, 6to4, ``::127.0.0.1``, ``fec0::/10``, 192.88.99.0/24 and multicast pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

LOOPBACK: Final = "loopback"

_FORBIDDEN_4: Final = (
    ("0.0.0.0/8", "unspecified"),  # RFC 791: this host on this network
    ("127.0.0.0/8", LOOPBACK),  # RFC 1122
    ("10.0.0.0/8", "private"),  # RFC 1918
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.100.100.200/32", "metadata"),  # a cloud's instance metadata, within RFC 6598
    ("100.64.0.0/10", "carrier-grade NAT"),  # RFC 6598
    ("169.254.169.254/32", "metadata"),  # the metadata of most clouds, within RFC 3927
    ("169.254.0.0/16", "link-local"),  # RFC 3927
    ("168.63.129.16/32", "metadata"),  # a cloud's own services, in its public space
    ("192.0.0.192/32", "metadata"),  # a cloud's instance metadata, within RFC 6890
    ("192.0.0.0/24", "reserved"),  # RFC 6890
    ("192.0.2.0/24", "documentation"),  # RFC 5737
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("192.31.196.0/24", "reserved"),  # RFC 7535, AS112
    ("192.52.193.0/24", "reserved"),  # RFC 7450, AMT
    ("192.88.99.0/24", "6to4 relay"),  # RFC 7526
    ("192.175.48.0/24", "reserved"),  # RFC 7534, AS112
    ("198.18.0.0/15", "benchmarking"),  # RFC 2544
    ("224.0.0.0/4", "multicast"),  # RFC 5771
    ("255.255.255.255/32", "broadcast"),  # RFC 919
    ("240.0.0.0/4", "reserved"),  # RFC 1112
)
_FORBIDDEN_6: Final = (
    ("::/128", "unspecified"),  # RFC 4291
    ("::1/128", LOOPBACK),
    ("fd00:ec2::254/128", "metadata"),  # a cloud's instance metadata, within RFC 4193
    ("fd20:ce::254/128", "metadata"),
    ("fc00::/7", "unique-local"),  # RFC 4193
    ("fe80::/10", "link-local"),  # RFC 4291
    ("fec0::/10", "site-local"),  # RFC 3879
    ("ff00::/8", "multicast"),  # RFC 4291
    ("2001:db8::/32", "documentation"),  # RFC 3849
    ("3fff::/20", "documentation"),  # RFC 9637
    ("2001:2::/48", "benchmarking"),  # RFC 5180
    ("2001::/32", "Teredo"),  # RFC 4380
    ("2001::/23", "reserved"),  # RFC 2928: ORCHID and other protocols
    ("100::/64", "discard-only"),  # RFC 6666
    ("100:0:0:1::/64", "reserved"),  # RFC 9780
    ("5f00::/16", "reserved"),  # RFC 9602, segment routing
    ("2620:4f:8000::/48", "reserved"),  # RFC 7534, AS112
)
_NETWORKS_4: Final = tuple((IPv4Network(network), reason) for network, reason in _FORBIDDEN_4)
_NETWORKS_6: Final = tuple((IPv6Network(network), reason) for network, reason in _FORBIDDEN_6)

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that is given out to anybody (RFC 4291, section 2.4); what lies outside is no public receiver."""

_CARRIERS: Final = (
    # An IPv4 address at this many bits from the right; each of these goes through a gateway to it, or is it.
    (IPv6Network("::ffff:0:0/96"), 0, "IPv4-mapped"),  # RFC 4291
    (IPv6Network("::ffff:0:0:0/96"), 0, "IPv4-translated"),  # RFC 2765
    (IPv6Network("::/96"), 0, "IPv4-compatible"),  # RFC 4291
    (IPv6Network("64:ff9b::/96"), 0, "NAT64"),  # RFC 6052
    (IPv6Network("2002::/16"), 80, "6to4"),  # RFC 3056
)
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
"""RFC 8215: where in it the IPv4 address lies is the operator's choice."""
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""RFC 5214: the interface identifier's upper half; the IPv4 address is its lower half."""
_IPV4_BITS: Final = 0xFFFF_FFFF


def forbidden_reason(address: Address, *, allow_loopback: bool) -> str | None:
    """Why nothing may be sent there, in a word or two; None for an address that anybody can reach.

    ``allow_loopback`` permits 127.0.0.0/8 and ::1, nothing else. An IPv6 address that carries an IPv4 one is never
    needed to reach anybody: the receiver has that IPv4 address too.
    """
    if isinstance(address, IPv4Address):
        return _unless_allowed(_listed(address), allow_loopback=allow_loopback)
    if address.scope_id is not None:
        return "link-local"
    reason = _listed(address)
    if reason is not None:
        return _unless_allowed(reason, allow_loopback=allow_loopback)
    for how, carried in _carried(address):
        inner = _listed(carried)
        return how if inner is None else f"{how} of {inner}"
    return None if address in _GLOBAL_UNICAST else "reserved"


def _unless_allowed(reason: str | None, *, allow_loopback: bool) -> str | None:
    return None if allow_loopback and reason == LOOPBACK else reason


def _listed(address: Address) -> str | None:
    networks: tuple[tuple[IPv4Network | IPv6Network, str], ...]
    networks = _NETWORKS_4 if isinstance(address, IPv4Address) else _NETWORKS_6
    return next((reason for network, reason in networks if address in network), None)


def _carried(address: IPv6Address) -> Iterator[tuple[str, IPv4Address]]:
    """The IPv4 addresses within, and what they are in it. Where they go is decided by somebody else's gateway."""
    bits = int(address)
    for network, shift, how in _CARRIERS:
        if address in network:
            yield how, IPv4Address(bits >> shift & _IPV4_BITS)
    if address in _LOCAL_NAT64:
        yield "NAT64", IPv4Address(bits & _IPV4_BITS)
    if bits >> 32 & _IPV4_BITS in _ISATAP:
        yield "ISATAP", IPv4Address(bits & _IPV4_BITS)
