"""The feed of public events: pages and streams by position, without a gap and without a double."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest

from payloops.http.dashboard import events_feed
from payloops.projections import public_feed
from tests.databases import TestDatabase
from tests.integration.http.world import Api, Merchant, open_api

EVENTS = "/api/events"
WAIT_S = 60.0


async def page(api: Api, merchant: Merchant, query: str = "") -> Any:
    return (await api.call("GET", EVENTS + query, token=merchant.token)).must(200)


class Stream:
    """An open stream of server-sent events."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self.reply = reply

    async def block(self) -> dict[str, str]:
        """The next block: its fields, a comment under an empty name."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S):
            while line := (await self.reply.content.readline()).decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
        return fields

    async def events(self, count: int) -> list[Any]:
        """The next events, with the id that each was sent under."""
        found: list[Any] = []
        while len(found) < count:
            fields = await self.block()
            if "data" in fields:
                document = orjson.loads(fields["data"])
                assert (fields["id"], fields["event"]) == (str(document["position"]), document["type"])
                found.append(document)
        return found

    async def ended(self) -> bytes:
        """What was still sent until the end."""
        async with asyncio.timeout(WAIT_S):
            return await self.reply.content.read()


@asynccontextmanager
async def stream(api: Api, merchant: Merchant, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    sent = {"Authorization": f"Bearer {merchant.token}", "Accept": "text/event-stream", **headers}
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{api.port}{EVENTS}{query}"
        async with session.get(url, headers=sent) as reply:
            assert reply.status == 200, await reply.text()
            assert reply.headers["Content-Type"].startswith("text/event-stream")
            opened = Stream(reply)
            assert await opened.block() == {"retry": str(events_feed.RETRY_MS)}
            yield opened


async def test_pages_lead_through_all_events_in_order(api: Api, merchant: Merchant) -> None:
    orders = [await api.captured_order(merchant, customerEmail="jane@shop.example") for _ in range(3)]
    other = await api.merchant()
    await api.captured_order(other)
    found: list[Any] = []
    after = 0
    while True:
        answer = await page(api, merchant, f"?limit=4&after={after}")
        found += answer["data"]
        after = answer["nextAfter"]
        if not answer["hasMore"]:
            break
    assert [event["type"] for event in found] == ["payment.processing", "payment.captured"] * 3
    assert [event["orderId"] for event in found] == [order["id"] for order in orders for _ in range(2)]
    assert [event["position"] for event in found] == sorted({event["position"] for event in found})
    assert found[0]["payload"]["customerEmail"] == "jane@shop.example"
    assert (await page(api, merchant, f"?after={after}"))["data"] == []
    assert (await page(api, merchant, "?after=latest")) == {"data": [], "hasMore": False, "nextAfter": after}


async def test_types_are_chosen_and_rare_ones_are_found(
    api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_feed, "SCANNED_MAX", 2)
    for _ in range(2):
        await api.captured_order(merchant)
    declined = await api.paid_order(merchant)
    await api.failed(declined["id"])
    found: list[str] = []
    after, pages = 0, 0
    while True:
        answer = await page(api, merchant, f"?types=payment.failed,refund.*&after={after}")
        found += [event["type"] for event in answer["data"]]
        after, pages = answer["nextAfter"], pages + 1
        if not answer["hasMore"]:
            break
    assert (found, pages) == (["payment.failed"], 4)


async def test_a_stream_tells_what_was_and_what_comes(api: Api, merchant: Merchant) -> None:
    await api.captured_order(merchant)
    async with stream(api, merchant) as opened:
        past = await opened.events(2)
        await api.captured_order(merchant)
        coming = await opened.events(2)
    assert [event["type"] for event in past + coming] == ["payment.processing", "payment.captured"] * 2
    assert past + coming == (await page(api, merchant))["data"]


async def test_a_reconnect_goes_on_where_it_was_in_another_process(test_database: TestDatabase) -> None:
    async with open_api(test_database) as one, open_api(test_database) as other:
        merchant = await one.merchant()
        await one.captured_order(merchant)
        async with stream(one, merchant, "?after=0") as opened:
            (first,) = await opened.events(1)
        async with stream(other, merchant, "?after=0", **{"Last-Event-ID": str(first["position"])}) as again:
            (second,) = await again.events(1)
            # Written by the one process, told by the other.
            await one.captured_order(merchant)
            later = await again.events(2)
        told = [first, second, *later]
        assert told == (await page(one, merchant))["data"]


async def test_a_stream_of_types_is_quiet_about_others(api: Api, merchant: Merchant) -> None:
    async with stream(api, merchant, "?types=payment.failed") as opened:
        await api.captured_order(merchant)
        declined = await api.paid_order(merchant)
        await api.failed(declined["id"])
        (told,) = await opened.events(1)
    assert (told["type"], told["orderId"]) == ("payment.failed", declined["id"])


async def test_streams_are_counted(api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_feed, "FOLLOWERS_PER_MERCHANT_MAX", 1)
    headers = {"Accept": "text/event-stream"}
    async with stream(api, merchant):
        refused = await api.call("GET", EVENTS, token=merchant.token, headers=headers)
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert int(refused.headers["Retry-After"]) > 0
        async with stream(api, await api.merchant()):
            pass
    async with asyncio.timeout(WAIT_S):
        # Its place is free as soon as the server has seen it go.
        while api.services.analytics.feed._counts:
            await asyncio.sleep(0.01)
    async with stream(api, merchant):
        pass


async def test_a_quiet_stream_is_alive_until_its_token_is_revoked(
    api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_feed, "HEARTBEAT_S", 0.05)
    async with stream(api, merchant) as opened:
        assert await opened.block() == {"": "still here"}
        (await api.call("POST", "/api/auth/logout", token=merchant.token)).must(204)
        assert b"data" not in await opened.ended()


async def test_a_stop_ends_streams_whole(test_database: TestDatabase) -> None:
    async with open_api(test_database) as api:
        merchant = await api.merchant()
        async with stream(api, merchant) as opened:
            api.services.stopping.set()
            await api.server.stop(grace_s=5)
            # aiohttp raises when a chunked body breaks off.
            assert await opened.ended() == b""


async def test_a_reader_that_stalls_is_cut(api: Api, merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payloops.http.connection.WRITE_S", 0.2)
    for _ in range(12):
        await api.captured_order(merchant, metadata={"filler": "x" * 15_000}, description="y" * 1000)
    _, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1024)
    socket = writer.get_extra_info("socket")
    socket.setsockopt(1, 8, 4096)
    lines = (
        f"GET {EVENTS} HTTP/1.1",
        "Host: x",
        "Accept: text/event-stream",
        f"Authorization: Bearer {merchant.token}",
    )
    writer.write("\r\n".join((*lines, "", "")).encode())
    transport: Any = writer.transport
    transport.pause_reading()
    async with asyncio.timeout(WAIT_S):
        while not api.services.analytics.feed._counts:
            await asyncio.sleep(0.01)
        while api.services.analytics.feed._counts:
            await api.captured_order(merchant, metadata={"filler": "x" * 15_000})
    writer.close()


@pytest.mark.parametrize(
    ("query", "param"),
    (("?after=-1", "after"), ("?after=x", "after"), ("?types=money.*", "types"), ("?limit=101", "limit")),
)
async def test_bad_questions_are_refused(api: Api, merchant: Merchant, query: str, param: str) -> None:
    for headers in ({}, {"Accept": "text/event-stream"}):
        answer = await api.call("GET", EVENTS + query, token=merchant.token, headers=headers)
        assert (answer.status, answer.json["param"]) == (400, param)
