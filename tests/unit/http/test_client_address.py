"""Whose request it is: the first address from the right that is no proxy of ours."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.http.client_address import HOPS_MAX, client_address, client_name

PROXIES = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "fd00::/8"))
CLIENT = "203.0.113.7"


def name(peer: str, *lines: str, trusted: bool = True) -> str:
    return client_name(client_address(peer, lines, PROXIES if trusted else ()))


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    (
        # Without a trusted peer the header is worth nothing.
        (CLIENT, (), CLIENT),
        (CLIENT, ("198.51.100.1",), CLIENT),
        # One proxy, two, and what the client wrote itself.
        ("10.0.0.1", (CLIENT,), CLIENT),
        ("10.0.0.1", (f"{CLIENT}, 10.0.0.2",), CLIENT),
        ("10.0.0.1", (CLIENT, "10.0.0.2"), CLIENT),
        ("10.0.0.1", (f"198.51.100.1, {CLIENT}, 10.0.0.2",), CLIENT),
        ("10.0.0.1", (f"10.9.9.9, {CLIENT}",), CLIENT),
        # Proxies all the way: the farthest.
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", (), "10.0.0.1"),
        # What can't be read ends the chain.
        ("10.0.0.1", ("unknown",), "10.0.0.1"),
        ("10.0.0.1", (f"{CLIENT}, , 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        # Ports, brackets, zones, and IPv4 in IPv6.
        ("10.0.0.1", (f"{CLIENT}:4711",), CLIENT),
        ("10.0.0.1", ("[2001:db8:1:2:3::4]:4711",), "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", (f"::ffff:{CLIENT}",), CLIENT),
        ("fd00::1", ("2001:db8:1:2:ffff::1",), "2001:db8:1:2::/64"),
        ("fe80::1%eth0", (), "fe80::/64"),
        ("", (CLIENT,), "unknown"),
    ),
)
def test_the_client(peer: str, lines: tuple[str, ...], expected: str) -> None:
    assert name(peer, *lines) == expected


def test_nobody_is_trusted_unless_told() -> None:
    assert name("10.0.0.1", CLIENT, trusted=False) == "10.0.0.1"


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    assert name("2001:db8::1") == name("2001:db8::ffff:1") != name("2001:db8:0:1::1")


def test_a_chain_is_followed_so_far() -> None:
    assert name("10.0.0.1", ", ".join([CLIENT] + ["10.0.0.2"] * (HOPS_MAX - 1))) == CLIENT
    assert name("10.0.0.1", ", ".join([CLIENT] + ["10.0.0.2"] * HOPS_MAX)) == "10.0.0.2"


@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_stands_left_of_the_client_changes_nothing(spoofed: list[str]) -> None:
    assert name("10.0.0.1", *spoofed, CLIENT) == CLIENT
