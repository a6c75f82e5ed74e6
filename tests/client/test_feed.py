"""The feed of public events: by the page, and as a stream that breaks and goes on."""

from __future__ import annotations

import asyncio
import json
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payloops.client import AuthenticationFailed, NoAnswer, Retries, UnreadableAnswer
from payloops.client.core.sse import EVENT_BYTES_MAX, Frame, FrameParser
from tests.checkout.world import Shop
from tests.client.both import Both
from tests.client.flaky import DROP, Between, Flaky, Say, serving

QUICK = Retries(attempts_max=3, base_s=0.001, step_max_s=0.002)
EVENT = {
    "id": "e-1",
    "type": "payment.captured",
    "createdAt": "2026-01-31T12:00:00.000Z",
    "sequence": 1,
    "orderId": None,
    "externalId": None,
    "amount": 5,
    "currency": "USD",
    "status": "captured",
    "processor": None,
    "payload": {},
}


def frame(position: int) -> bytes:
    return f"id: {position}\nevent: payment.captured\ndata: {json.dumps(EVENT | {'position': position})}\n\n".encode()


def stream(*positions: int) -> bytes:
    """A stream that ends after these."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\nretry: 1\n\n"
    return head + b": still here\n\n" + b"".join(map(frame, positions))


# ------------------------------------------------------------------------------------------------------------- parsing

TEXT = (
    b"retry: 250\r\n\r\nid: 1\r\ndata: a\r\ndata: b\r\n\r\n: comment\r\rdata\r\rdata:  c\n\nid: 2\nevent: x\ndata:d\n"
    b"id:bad\0\n\nunknown: 1\ndata: lost"
)
FRAMES = [Frame("a\nb", "1"), Frame(" c", "1"), Frame("d", "2")]


@given(st.lists(st.integers(0, len(TEXT)), max_size=20))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    parser = FrameParser()
    places = [0, *sorted(cuts), len(TEXT)]
    found = [one for start, end in pairwise(places) for one in parser.feed(TEXT[start:end])]
    assert found == FRAMES
    assert parser.retry_ms == 250


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 65_536, b"data: " + b"x" * 65_530 + b"\n"])
def test_an_event_without_an_end_is_given_up(chunk: bytes) -> None:
    parser = FrameParser()
    chunks = [chunk] * (EVENT_BYTES_MAX // 60_000)
    with pytest.raises(ValueError, match="too large"):
        list(chain.from_iterable(map(parser.feed, chunks)))


# ------------------------------------------------------------------------------------------------- on a little server


async def test_it_goes_on_where_it_broke_and_gives_nothing_twice(both: Both) -> None:
    script: list[Any] = [stream(3, 4), Say(503, {"code": "unavailable"}), DROP, stream(4, 5), stream(6) + b"data: {ha"]
    async with serving(Flaky([*script, stream(7)])) as server:
        dashboard = both.dashboard("t", base_url=server.url)
        async with both.closing(dashboard.events.stream(types=["payment.*"], retries=QUICK)) as events:
            assert [event.position for event in await both.take(events, 5)] == [3, 4, 5, 6, 7]
    assert [got.headers.get("last-event-id") for got in server.got] == [None, "4", "4", "4", "5", "6"]
    assert {got.target for got in server.got} == {"/api/events?types=payment.%2A"}
    assert {got.headers["accept"] for got in server.got} == {"text/event-stream"}


async def test_what_is_still_to_come_begins_where_the_feed_ends(both: Both) -> None:
    """Asked for by the stream itself, it would be lost with a stream that breaks before its first event."""
    script: list[Any] = [Say(200, {"data": [], "hasMore": False, "nextAfter": 41}), DROP, stream(42)]
    async with serving(Flaky(script)) as server:
        dashboard = both.dashboard("t", base_url=server.url)
        async with both.closing(dashboard.events.stream(after="latest", retries=QUICK)) as events:
            assert [event.position for event in await both.take(events, 1)] == [42]
    assert [got.headers.get("last-event-id") for got in server.got] == [None, "41", "41"]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([DROP] * 3, NoAnswer),
        ([stream(1), Say(401, {"code": "invalid_token", "message": "No."})], AuthenticationFailed),
        ([Say(200, {"data": []})], UnreadableAnswer),
        ([stream() + b"data: {}\n\n"], UnreadableAnswer),
        ([stream() + b"data: " + b"x" * (EVENT_BYTES_MAX + 10)], UnreadableAnswer),
    ],
)
async def test_it_ends_when_coming_back_would_not_help(both: Both, script: list[Any], kind: type[Exception]) -> None:
    async with serving(Flaky(script)) as server:
        dashboard = both.dashboard("t", base_url=server.url)
        async with both.closing(dashboard.events.stream(retries=QUICK)) as events:
            with pytest.raises(kind):
                await both.take(events, 2)
    assert server.script == []


# ----------------------------------------------------------------------------------------------------- on the service


async def test_the_real_feed_over_broken_connections(both: Both, shop: Shop) -> None:
    client = both.payloops(shop.merchant.api_key, base_url=shop.base_url)

    async def cancelled() -> str:
        order = await both.do(client.orders.create, 5)
        await both.do(client.orders.cancel, order.id)
        return str(order.id)

    orders = [await cancelled()]
    async with serving(Between(shop.api.port, lambda _: False)) as between:
        dashboard = both.dashboard(shop.merchant.token, base_url=between.url)
        async with both.closing(dashboard.events.stream(types=["payment.cancelled"])) as events:
            (first,) = await both.take(events, 1)
            taking = asyncio.create_task(both.take(events, 2))
            between.cut()
            orders += [await cancelled(), await cancelled()]
            async with asyncio.timeout(60):
                came = [first, *await taking]
        assert [event.order_id for event in came] == orders
        paged = await both.items(dashboard.events.list(limit=1))
        assert [event.position for event in paged if event.type == "payment.cancelled"] == [e.position for e in came]
        after = await both.items(dashboard.events.list(after=came[1].position))
        assert [event.order_id for event in after] == orders[2:]
        assert len(between.got) > 2
