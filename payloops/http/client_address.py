"""Whose request it is by its address: the peer's, or what proxies of ours say about it.

``X-Forwarded-For`` grows at its right end: each proxy adds the peer that it saw. So it is read from the right, and only
while what stands there is a proxy of TRUSTED_PROXIES; the first address that is none is the client, whatever it wrote
to the left of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, TypeAlias

from payloops.config.parsing import Network

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

HOPS_MAX: Final = 32
"""Proxies that are believed in one chain."""
IPV6_PREFIX_BITS: Final = 64
"""What one customer of a provider gets at least (RFC 6177): changing the rest costs an attacker nothing."""
UNKNOWN: Final = "unknown"


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """The client's address; None for a peer that has none (a local socket).

    ``forwarded_for`` are the values of the X-Forwarded-For lines in their order. What can't be read ends the chain: the
    proxy that passed it on stands for the client.
    """
    address = _parse(peer)
    if address is None or not trusted:
        return address
    hops = [hop for line in forwarded_for for hop in line.split(",")]
    for hop in reversed(hops[-HOPS_MAX:]):
        if not _is_of(address, trusted):
            break
        before = _parse(hop)
        if before is None:
            break
        address = before
    return address


def client_name(address: Address | None) -> str:
    """What a limit counts by: an IPv4 address, the /64 of an IPv6 one."""
    if address is None:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX_BITS), strict=False))
    return str(address)


def _parse(text: str) -> Address | None:
    """An address, also with a port or a zone; an IPv4 address mapped into IPv6 is the IPv4 address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_of(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
