"""Addresses that nothing may be sent to, whatever leads to them (O2), and names."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from payloops.workflows_bridge.deliveries.resolver import Resolver
from payloops.workflows_bridge.deliveries.sender import Answer
from tests.deliveries.receiver import Receiver
from tests.deliveries.sending import sending

LOOPBACK_FORMS = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "１２７.0.0.1",
    "127。0。0。1",
    "0",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "ⓛocalhost",
    "ｌｏｃａｌｈｏｓｔ",
    "127.0.0.1.",
    "[::1%25lo]",
    "[::1%25eth0]",
    "[::ffff:127.0.0.1%25lo]",
)
PRIVATE_FORMS = (
    "10.0.0.1",
    "0x0a000001",
    "167772161",
    "012.0.0.1",
    "192.168.1.1",
    "172.16.3.4",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "100.64.0.1",
    "100.100.100.200",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.5",
    "224.0.0.1",
    "255.255.255.255",
    "[::ffff:10.0.0.1]",
    "[::10.0.0.1]",
    "[64:ff9b::a00:1]",
    "[2002:a9fe:a9fe::]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
)
REFUSALS = ("refused: webhooks are not sent to addresses of this kind", "the URL can't be used")


def is_refused(answer: Answer) -> bool:
    return answer.status_code is None and (answer.error or "").startswith(
        (*REFUSALS, "the host name can't be resolved")
    )


@pytest.mark.parametrize("host", (*LOOPBACK_FORMS, *PRIVATE_FORMS))
async def test_every_form_of_an_address_is_refused_at_connect(receiver: Receiver, host: str) -> None:
    async with sending(allow_loopback=False) as send:
        assert is_refused(await send(f"http://{host}:{receiver.port}/hook"))
    assert receiver.received == []


@pytest.mark.parametrize("host", PRIVATE_FORMS)
async def test_allowed_loopback_allows_nothing_else(receiver: Receiver, host: str) -> None:
    async with sending(allow_loopback=True) as send:
        assert is_refused(await send(f"http://{host}:{receiver.port}/hook"))


@pytest.mark.parametrize("host", ("127.0.0.1", "localhost", "127.0.0.1.nip.example"))
async def test_allowed_loopback(receiver: Receiver, host: str) -> None:
    async with sending(allow_loopback=True, lookup=lambda _: ["127.0.0.1"]) as send:
        assert (await send(f"http://{host}:{receiver.port}/hook")).success


async def test_the_refusal_says_why(receiver: Receiver) -> None:
    async with sending(allow_loopback=False) as send:
        answer = await send(receiver.at())
    assert answer.error == "refused: webhooks are not sent to addresses of this kind (loopback)"


async def test_a_name_that_rebinds_after_it_was_looked_at(receiver: Receiver) -> None:
    """First a harmless address, then ours: what counts is the address of the very connection."""
    answers = iter((["203.0.113.9"], ["127.0.0.1"], ["127.0.0.1"]))
    asked: list[str] = []

    def rebinding(host: str) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    async with sending(allow_loopback=False, lookup=rebinding) as send:
        for _ in range(3):
            assert is_refused(await send(f"http://rebind.example:{receiver.port}/hook"))
    assert receiver.received == []
    assert asked == ["rebind.example"] * 3


async def test_of_several_addresses_the_forbidden_ones_are_not_used(receiver: Receiver) -> None:
    addresses = ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "127.0.0.1", "fd00::1"]
    async with sending(allow_loopback=True, lookup=lambda _: addresses) as send:
        assert (await send(f"http://many.example:{receiver.port}/hook")).success
    async with sending(allow_loopback=False, lookup=lambda _: addresses) as send:
        assert is_refused(await send(f"http://many.example:{receiver.port}/hook"))
    assert len(receiver.received) == 1


@pytest.mark.parametrize("host", ("müller.example", "xn--mller-kva.example", "MÜLLER.example", "müller.example."))
async def test_a_name_of_other_letters_is_looked_up_as_the_dns_has_it(receiver: Receiver, host: str) -> None:
    asked: list[str] = []

    def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"]

    async with sending(allow_loopback=False, lookup=lookup) as send:
        assert is_refused(await send(f"http://{host}:{receiver.port}/hook"))
    async with sending(allow_loopback=True, lookup=lookup) as send:
        assert (await send(f"http://{host}:{receiver.port}/hook")).success
    assert {name.rstrip(".") for name in asked} == {"xn--mller-kva.example"}
    assert [one.headers["host"].split(":")[0].rstrip(".") for one in receiver.received] == ["xn--mller-kva.example"]


async def test_connections_are_made_to_no_other_address(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def noting(sock: socket.socket, address: Any) -> None:
        connected.append(address)
        await real(sock, address)

    monkeypatch.setattr(loop, "sock_connect", noting)
    async with sending(lookup=lambda _: ["10.1.2.3", "127.0.0.1"]) as send:
        assert (await send(f"http://two.example:{receiver.port}/hook")).success
        assert is_refused(await send(f"http://10.1.2.3:{receiver.port}/hook"))
    assert connected == [("127.0.0.1", receiver.port)]


@pytest.mark.parametrize(
    "url",
    (
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http:///nowhere",
        "http://user:password@127.0.0.1/",
        "http://user@127.0.0.1/",
        "//127.0.0.1/",
        "127.0.0.1",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://[::1/",
        "http://127.0.0.1/" + "a" * 3000,
        "",
    ),
)
async def test_urls_that_are_none(url: str) -> None:
    async with sending() as send:
        answer = await send(url)
    assert (answer.status_code, answer.error) == (None, "the URL can't be used")


async def test_https_only(receiver: Receiver) -> None:
    async with sending(https_only=True) as send:
        answer = await send(receiver.at())
    assert (answer.status_code, answer.error) == (None, "the URL must be https")
    assert receiver.received == []


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        async with sending() as send:
            answer = await send(f"http://127.0.0.1:{port}/")
    assert (answer.status_code, answer.error) == (None, "no connection")


# ---------------------------------------------------------------------------------------------------------------- names


async def test_a_name_without_an_address() -> None:
    def nothing(_: str) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    async with sending(lookup=nothing) as send:
        answer = await send("http://nowhere.example/")
    assert (answer.status_code, answer.error) == (None, "the host name can't be resolved")


async def test_lookups_that_hang_hold_up_nobody_else(receiver: Receiver) -> None:
    """More of them than any thread pool of a loop has."""
    answered = threading.Event()

    def hanging(host: str) -> Sequence[str]:
        if host.startswith("dead"):
            answered.wait(30)
        return ["127.0.0.1"]

    async with sending(timeout_s=2.0, lookup=hanging) as send:
        dead = [asyncio.create_task(send(f"http://dead{n}.example:{receiver.port}/dead")) for n in range(40)]
        await asyncio.sleep(0.05)
        assert (await send(f"http://alive.example:{receiver.port}/hook")).success
        assert {answer.error for answer in await asyncio.gather(*dead)} == {"no answer within 2 s"}
        answered.set()


async def test_who_asks_for_the_same_name_shares_a_lookup() -> None:
    asked: list[str] = []

    def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        time.sleep(0.05)
        return ["93.184.216.34", "2606:2800:220:1::1"]

    resolver = Resolver(lookup)
    both = await asyncio.gather(*(resolver.resolve("a.example", 443) for _ in range(10)))
    assert [[one["host"] for one in found] for found in both] == [["93.184.216.34", "2606:2800:220:1::1"]] * 10
    assert asked == ["a.example"]
    await resolver.resolve("a.example", 443)
    assert asked == ["a.example"] * 2
    await resolver.close()
