"""Addresses that a webhook may not be sent to, in every form that carries one."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.addresses import forbidden_reason

FORBIDDEN = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "carrier-grade NAT",
    "100.127.255.255": "carrier-grade NAT",
    "100.100.100.200": "metadata",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "metadata",
    "169.254.1.1": "link-local",
    "169.254.169.254": "metadata",
    "169.254.170.2": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.8": "reserved",
    "192.0.0.192": "metadata",
    "192.0.2.7": "documentation",
    "192.88.99.1": "6to4 relay",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::ffff:127.0.0.1": "IPv4-mapped of loopback",
    "::ffff:10.0.0.1": "IPv4-mapped of private",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "::ffff:0:10.0.0.1": "IPv4-translated of private",
    "::127.0.0.1": "IPv4-compatible of loopback",
    "::8.8.8.8": "IPv4-compatible",
    "64:ff9b::127.0.0.1": "NAT64 of loopback",
    "64:ff9b::8.8.8.8": "NAT64",
    "64:ff9b:1::10.0.0.1": "NAT64 of private",
    "64:ff9b:1:7f00:0:100::": "NAT64 of unspecified",
    "2002:7f00:1::": "6to4 of loopback",
    "2002:a9fe:a9fe::1": "6to4 of metadata",
    "2002:808:808::1": "6to4",
    "2001:0:808:808::": "Teredo",
    "2001:2::1": "benchmarking",
    "2001:10::1": "reserved",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "2606:4700::5efe:a00:1": "ISATAP of private",
    "2606:4700::200:5efe:808:808": "ISATAP",
    "100::1": "discard-only",
    "5f00::1": "reserved",
    "fc00::1": "unique-local",
    "fd12:3456::1": "unique-local",
    "fd00:ec2::254": "metadata",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "4000::1": "reserved",
}
PUBLIC = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111")


@pytest.mark.parametrize(("text", "reason"), FORBIDDEN.items())
def test_forbidden(text: str, reason: str) -> None:
    assert forbidden_reason(ipaddress.ip_address(text), allow_loopback=False) == reason


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert forbidden_reason(ipaddress.ip_address(text), allow_loopback=False) is None


@pytest.mark.parametrize(("text", "reason"), FORBIDDEN.items())
def test_loopback_may_be_allowed_and_nothing_else(text: str, reason: str) -> None:
    expected = None if reason == "loopback" else reason
    assert forbidden_reason(ipaddress.ip_address(text), allow_loopback=True) == expected


@given(st.ip_addresses(v=4))
def test_whatever_python_calls_local_is_forbidden(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert forbidden_reason(address, allow_loopback=False) is not None


@given(st.ip_addresses(v=6))
def test_whatever_python_calls_local_is_forbidden_in_ipv6(address: IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_site_local:
        assert forbidden_reason(address, allow_loopback=False) is not None


@given(st.ip_addresses(v=4), st.sampled_from(("::ffff:", "::", "64:ff9b::", "::ffff:0:")))
def test_no_address_hides_in_another(inner: IPv4Address, prefix: str) -> None:
    outer = ipaddress.ip_address(f"{prefix}{inner}")
    expected = None if outer == IPv6Address("::1") else "something"
    found = forbidden_reason(outer, allow_loopback=True)
    assert (found is None) == (expected is None)
